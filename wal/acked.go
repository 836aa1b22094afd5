package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"opossum/dcb"
	"opossum/internal/step"
)

// Acked is the newest durable place that the log remembered outside itself, in the file ACKED: written after each sync
// and before any reply, never synced. After a killed process it is exact, after a power cut it may be old. It lets
// recovery tell a torn frame, which nobody was promised, from damage in an acknowledged one.
type Acked struct {
	Gen      uint64
	Offset   uint64       // of that generation's file
	Position dcb.Position // the last durable one
}

const (
	ackedMagic = 0x4b434131 // "1ACK"
	ackedBytes = 4 + 4 + 8 + 8 + 8 + 8
)

// encode: magic u32 | zero u32 | generation u64 | offset u64 | position u64 | xxh64 of all before, seeded with the store.
func (a Acked) encode(id StoreID) []byte {
	b := make([]byte, 0, ackedBytes)
	b = binary.LittleEndian.AppendUint32(b, ackedMagic)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, a.Gen)
	b = binary.LittleEndian.AppendUint64(b, a.Offset)
	b = binary.LittleEndian.AppendUint64(b, uint64(a.Position))
	return binary.LittleEndian.AppendUint64(b, ackedSum(b, id))
}

func ackedSum(b []byte, id StoreID) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(id.Seed())
	_, _ = d.Write(b) // a hash never fails
	return d.Sum64()
}

// decodeAcked returns the zero Acked for anything but an intact one. That is no guess: the file is a witness that may
// be silent (never synced, so a power cut may leave anything in it), and silence convicts nobody.
func decodeAcked(b []byte, id StoreID) Acked {
	le := binary.LittleEndian
	if len(b) != ackedBytes || le.Uint32(b) != ackedMagic || le.Uint64(b[ackedBytes-8:]) != ackedSum(b[:ackedBytes-8], id) {
		return Acked{}
	}
	return Acked{Gen: le.Uint64(b[8:]), Offset: le.Uint64(b[16:]), Position: dcb.Position(le.Uint64(b[24:]))}
}

// AckedPath returns the file of the witness of a log directory.
func AckedPath(dir string) string { return filepath.Join(dir, ackedFile) }

// ReadAcked reads the witness of a log directory; the zero Acked if there is none that speaks.
func ReadAcked(dir string, id StoreID) (Acked, error) {
	b, err := readAckedBytes(dir)
	return decodeAcked(b, id), err
}

// readAckedBeside reads ACKED, by read, beside an owner who may be writing it: what makes no sense, twice the same, is not
// half written.
func readAckedBeside(read func() ([]byte, error), id StoreID) (Acked, error) {
	var last []byte
	for {
		b, err := read()
		if a := decodeAcked(b, id); err != nil || a != (Acked{}) || bytes.Equal(b, last) {
			return a, err
		}
		last = b
	}
}

// readAckedBytes returns nothing if there is no witness.
func readAckedBytes(dir string) ([]byte, error) {
	b, err := os.ReadFile(AckedPath(dir))
	if notExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wal: read witness: %w", err)
	}
	return b, nil
}

// WriteAcked replaces the witness of a log directory, durably: for a repair that gives up what the old one vouches for.
// REQUIRES: the caller holds the store's lock, and no Log is open.
func WriteAcked(dir string, id StoreID, a Acked) error {
	temp := AckedPath(dir) + tempSuffix
	if err := writeSynced(temp, a.encode(id)); err != nil {
		return fmt.Errorf("wal: write witness: %w", err)
	}
	if err := step.Rename(temp, AckedPath(dir)); err != nil {
		return fmt.Errorf("wal: write witness: %w", err)
	}
	return step.SyncDir(dir)
}

// writeSynced leaves a half-written file to be overwritten by the next attempt.
func writeSynced(path string, b []byte) error {
	f, err := step.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, filePerm)
	if err != nil {
		return err
	}
	return errors.Join(step.Write(f, b), step.Sync(f), f.Close())
}
