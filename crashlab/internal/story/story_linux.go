package story

import (
	"context"
	"errors"

	"opossum/crashlab/internal/host"
	"opossum/crashlab/internal/lab"
)

// Techniques are the stories on each file system whose power can be cut, and the registrations without syncing.
func Techniques() []lab.Technique {
	var out []lab.Technique
	for _, fs := range []host.FileSystem{host.Ext4, host.XFS} {
		out = append(out,
			lab.Technique{
				Name:  "story/" + fs.Name,
				About: "registers addresses and cuts the power of " + fs.Name + ": they are taken for ever; deletes all that is derived: every answer stays",
				Quick: 4, Share: 1,
				Case: func(ctx context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
					if index%2 == 1 {
						return withoutDerived(ctx, fs, env, lab.Rand(seed, index))
					}
					return registrations(fs, env, lab.Rand(seed, index), "default", 6)
				},
			},
			lab.Technique{
				Name:  "story/" + fs.Name + "/unsynced",
				About: "the same registrations without syncing: unless some are lost, the test sees nothing",
				Quick: 1, Share: 1,
				Case: func(_ context.Context, env lab.Env, seed, index uint64) (lab.Tally, error) {
					return registrations(fs, env, lab.Rand(seed, index), "disabled", 20)
				},
			})
	}
	return out
}

// onDisk runs a story on a fresh disk.
func onDisk(fs host.FileSystem, env lab.Env, tell func(*host.Disk) error) error {
	disk, err := host.NewDisk(fs, env.Scratch)
	if err != nil {
		return err
	}
	return errors.Join(tell(disk), disk.Remove())
}

// restart gives the power back.
func restart(disk *host.Disk) error { return errors.Join(disk.Unmount(), disk.Mount()) }
