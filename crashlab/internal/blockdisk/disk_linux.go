package blockdisk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk is a disk that is being served. Its methods are for one goroutine.
type Disk struct {
	dir     string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	orders  *json.Encoder
	answers *json.Decoder
	stderr  bytes.Buffer
}

// Start serves the image as a disk, below the directory dir, which is made. What happens to it is recorded to the file recording, if that is
// not empty. REQUIRES: main or TestMain of this program calls Serve if Asked.
func Start(dir, image, recording string) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	task, err := json.Marshal(serving{Dir: dir, Image: image, Recording: recording})
	if err != nil {
		return nil, err
	}
	d := &Disk{dir: dir, cmd: exec.Command(self)}
	d.cmd.Env = append(os.Environ(), servingEnv+"="+string(task))
	d.cmd.Stderr = &d.stderr
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.orders, d.answers = json.NewEncoder(d.stdin), json.NewDecoder(stdout)
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := d.order(nil); err != nil { // the answer says that it is mounted
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

// Image is the file to be put behind a loop device.
func (d *Disk) Image() string { return filepath.Join(d.dir, imageName) }

// Marks opens the file of which every write becomes a mark in the recording.
func (d *Disk) Marks() (*os.File, error) {
	return os.OpenFile(filepath.Join(d.dir, marksName), os.O_WRONLY, 0)
}

// Refuse gives the disk a rule in place of the one before, nil: it refuses nothing. It returns what the rule before has met.
func (d *Disk) Refuse(rule *Rule) (Counts, error) { return d.order(rule) }

func (d *Disk) order(rule *Rule) (Counts, error) {
	var c Counts
	err := d.orders.Encode(rule)
	if err == nil {
		err = d.answers.Decode(&c)
	}
	if err != nil {
		return c, fmt.Errorf("the process that serves a disk: %w", err)
	}
	return c, nil
}

// Stop ends the disk; then the recording is complete. REQUIRES: no loop device uses the disk.
func (d *Disk) Stop() error {
	err := d.stdin.Close()
	if ended := d.cmd.Wait(); ended != nil {
		err = errors.Join(err, fmt.Errorf("the process that serves a disk: %w; it said: %s", ended, d.stderr.String()))
		_ = unix.Unmount(d.dir, unix.MNT_DETACH) // it may have left that to us
	}
	return err
}
