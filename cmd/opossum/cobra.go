package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// addCobraCommands adds cobra's own commands, help and completion, and what they lack.
func addCobraCommands(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	if err := root.MarkPersistentFlagDirname("dir"); err != nil {
		panic(err) // the flag is defined
	}
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Example = "  opossum help query"
			cmd.Args = helpTopic
		case "completion":
			cmd.Example = "  opossum completion bash"
			for _, shell := range cmd.Commands() {
				shell.Example = "  " + shell.CommandPath()
			}
		}
	}
}

// helpTopic refuses a topic that does not exist, for which cobra's help prints the usage, with status 0.
func helpTopic(cmd *cobra.Command, args []string) error {
	_, _, err := cmd.Root().Find(args)
	return err
}

// flagError words an error about a flag.
func flagError(cmd *cobra.Command, err error) error {
	var query *queryError
	var value *pflag.InvalidValueError
	if errors.As(err, &query) && errors.As(err, &value) {
		return fmt.Errorf("--%s: %w\n(see 'opossum help query')", value.GetFlag().Name, query)
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if names := similarFlags(cmd, unknown.GetSpecifiedName()); len(names) > 0 {
			return fmt.Errorf("%w; did you mean --%s? (see '%s --help')", err, strings.Join(names, " or --"), cmd.CommandPath())
		}
	}
	return fmt.Errorf("%w (see '%s --help')", err, cmd.CommandPath())
}

// similarFlags returns the flags of cmd whose names name may have meant. Cobra suggests commands only; so these are made to
// look like commands.
func similarFlags(cmd *cobra.Command, name string) []string {
	flags := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	return flags.SuggestionsFor(name)
}
