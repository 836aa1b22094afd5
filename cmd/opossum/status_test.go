package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"opossum"
)

func TestStatusOf(t *testing.T) {
	ran := func(err error) error { return &commandError{fmt.Errorf("read: %w", err)} }
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("unknown command"), exitUsage},
		{ran(errors.New("disk")), exitError},
		{ran(usagef("--events 0")), exitUsage},
		{ran(opossum.ErrInvalidQuery), exitUsage},
		{ran(&opossum.ConditionFailedError{Position: 1}), exitCondition},
		{ran(&opossum.ConditionFailedError{Position: 1, Exists: true}), exitCondition},
		{ran(&reworded{"condition failed", opossum.ErrConditionFailed}), exitCondition},
		{ran(&opossum.CorruptError{File: "f"}), exitDamaged},
		{ran(context.Canceled), exitInterrupted},
		{ran(&reworded{"after 3 events", context.Canceled}), exitInterrupted},
		{ran(fmt.Errorf("%w: %w", context.Canceled, opossum.ErrOutcomeUnknown)), exitInterrupted},
		{ran(&fs.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE}), exitClosedPipe},
	} {
		require.Equal(t, c.want, statusOf(c.err), "%v", c.err)
	}
	for _, status := range []int{0, exitError, exitUsage, exitCondition, exitDamaged, exitInterrupted, exitClosedPipe} {
		require.Regexp(t, `(?m)^  `+strconv.Itoa(status)+` +\w`, newRoot().Long, "statuses are documented")
	}
}

func TestVersionText(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.0"}
	require.Equal(t, "(devel), go1.26.0", versionText(info))
	info.Main.Version = "v1.2.3"
	require.Equal(t, "v1.2.3, go1.26.0", versionText(info))
	info.Settings = []debug.BuildSetting{{Key: "vcs.modified", Value: "false"}, {Key: "vcs.revision", Value: "abc"}}
	require.Equal(t, "v1.2.3, revision abc, go1.26.0", versionText(info))
	info.Settings[0].Value = "true"
	require.Equal(t, "v1.2.3, revision abc, modified, go1.26.0", versionText(info))
}
