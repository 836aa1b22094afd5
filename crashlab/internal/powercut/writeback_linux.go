package powercut

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"opossum/crashlab/internal/host"
)

// writeBack has the disk take, just before the power goes, pages of the log that its owner has not synced: some, in any order; and some files of read models, whose owner syncs none. The kernel does so by itself
// when it pleases, and the syncs of other programs bring it about; the lives of the lab's stores are too short to wait for that. It returns no
// error: the owner goes on beside it, so that files come and go.
func writeBack(r *rand.Rand, mount, store string) {
	if r.IntN(8) == 0 {
		_ = everything(mount)
		return
	}
	models, _ := filepath.Glob(filepath.Join(store, "projections", "*", "*"))
	builds, _ := filepath.Glob(filepath.Join(store, "projections", ".build", "*", "*"))
	if models = append(models, builds...); len(models) > 0 {
		for range r.IntN(8) {
			_ = opened(models[r.IntN(len(models))], func(f *os.File) error { return f.Sync() })
		}
	}
	logs, _ := filepath.Glob(filepath.Join(store, "wal", "*", logFile))
	if len(logs) == 0 {
		return
	}
	for range 1 + r.IntN(3) {
		_ = somePages(r, logs[max(0, len(logs)-1-r.IntN(2))])
	}
	if r.IntN(4) > 0 {
		_ = host.Neighbour(mount)
	}
}

// somePages writes back a few pages near the end of a file.
func somePages(r *rand.Rand, path string) error {
	return opened(path, func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		const page = 4096
		last := info.Size() / page
		from := last - r.Int64N(1+min(last, 1+r.Int64N(pick[int64](r, 4, 16, 256))))
		pages := 1 + r.Int64N(1+(last-from)/2)
		return unix.SyncFileRange(int(f.Fd()), from*page, pages*page,
			unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	})
}

// everything writes back all that is there.
func everything(mount string) error {
	return opened(mount, func(f *os.File) error { return unix.Syncfs(int(f.Fd())) })
}

func opened(path string, do func(*os.File) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}
