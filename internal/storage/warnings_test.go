package storage

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWarnings(t *testing.T) {
	yes, no := true, false
	on := func(fileSystem string, median time.Duration, rotational *bool) Measurement {
		return Measurement{
			Flushes: 3, Median: median, Class: Classify(median),
			System: System{FileSystem: fileSystem, Device: "sda", Rotational: rotational, WriteCache: writeBack, FUA: &no},
		}
	}
	const us = time.Microsecond
	for name, c := range map[string]struct {
		m    Measurement
		want []string
	}{
		"a disk":                       {on("ext4", 700*us, &no), nil},
		"a disk nobody knows":          {on("", 700*us, nil), nil},
		"a slow one":                   {on("xfs", 30*ms, &no), nil},
		"platters":                     {on("xfs", 9*ms, &yes), nil},
		"platters, fast ones":          {on("xfs", ms, &yes), nil},
		"platters, too fast":           {on("xfs", ms-1, &yes), []string{"sda has turning platters"}},
		"fast":                         {on("btrfs", 10*us, &no), nil},
		"too fast":                     {on("btrfs", 10*us-1, &no), []string{"took 9.999µs"}},
		"too fast, and platters":       {on("btrfs", 320, &yes), []string{"took 320ns"}},
		"memory":                       {on("tmpfs", 320, nil), []string{"tmpfs is memory: nothing here survives a power cut"}},
		"ramfs":                        {on("ramfs", 320, nil), []string{"ramfs is memory"}},
		"nfs":                          {on("nfs", 9*ms, nil), []string{"nfs is served by another machine"}},
		"nfs4":                         {on("nfs4", 9*ms, nil), []string{"nothing is promised"}},
		"cifs":                         {on("cifs", 9*ms, nil), []string{"cifs is served by another machine"}},
		"9p, which flushes nothing":    {on("9p", 3*us, nil), []string{"9p is served by another machine", "took 3µs"}},
		"sshfs":                        {on("fuse.sshfs", 9*ms, nil), []string{"fuse.sshfs is served by a program"}},
		"fuse":                         {on("fuse", 9*ms, nil), []string{"fuse is served by a program"}},
		"a stick with ntfs":            {on("fuseblk", 9*ms, nil), nil},
		"overlay":                      {on("overlay", 700*us, nil), nil},
		"never measured":               {Measurement{System: System{FileSystem: "ext4", Rotational: &yes}}, nil},
		"never measured, but a memory": {Measurement{System: System{FileSystem: "tmpfs"}}, []string{"tmpfs is memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.m.Warnings()
			require.Len(t, got, len(c.want), "%q", got)
			for i, text := range c.want {
				require.Contains(t, got[i], text)
			}
			unfit := c.m.FileSystem != "" && c.m.FileSystem != "overlay" && c.m.FileSystem != "fuseblk" && !slices.Contains([]string{"ext4", "xfs", "btrfs"}, c.m.FileSystem)
			require.Equal(t, unfit, c.m.Unfit() != "")
		})
	}
}

func TestWhoCopiesOnWrite(t *testing.T) {
	for fileSystem, want := range map[string]bool{"btrfs": true, "zfs": true, "ext4": false, "xfs": false, "": false} {
		require.Equal(t, want, Measurement{System: System{FileSystem: fileSystem}}.CopiesOnWrite(), fileSystem)
	}
}
