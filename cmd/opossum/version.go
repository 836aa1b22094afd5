package main

import (
	"runtime/debug"
	"strings"
)

// versionText says which build of the program this is: the version of the module, and the revision if the go command
// found one to record.
func versionText(info *debug.BuildInfo) string {
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	words := []string{version}
	if revision := settings["vcs.revision"]; revision != "" {
		words = append(words, "revision "+revision)
	}
	if settings["vcs.modified"] == "true" {
		words = append(words, "modified")
	}
	return strings.Join(append(words, info.GoVersion), ", ")
}
