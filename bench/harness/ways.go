package harness

// Ways returns the five ways of making the same events durable, in the order of the table.
func Ways() []Way {
	return []Way{
		FilePerEvent(),
		{"file-per-batch", "a file per event, one syncfs for all that wait", func(dir string) (Target, error) {
			return openFilePerBatch(dir)
		}},
		BareFile(),
		BareLog(Adaptive, RotateBytes),
		Opossum(Unconditional),
	}
}

// FilePerEvent is the original's way.
func FilePerEvent() Way {
	return Way{"file-per-event", "a file per event with fsync and rename, and an fsynced ledger: the original's way", func(dir string) (Target, error) {
		return &filePerEvent{dir: dir}, nil
	}}
}

// BareFile is one file at the end of which each append is written and fsynced, one after the other.
func BareFile() Way {
	return Way{"growing-file", "one growing file, fsync for each append", func(dir string) (Target, error) {
		m, err := openGrowingFile(dir)
		if err != nil {
			return nil, err
		}
		return newEventLog(m, alone), nil
	}}
}

// BareLog is the yardstick for speed: all that an append to a durable log must do and nothing else. Callers encode and
// checksum; groups are framed, written to tidwall/wal as one entry and fdatasynced once. No index, no conditions.
func BareLog(grouping Grouping, rotateBytes int) Way {
	return Way{"bare-log", "the bare log with group commit", func(dir string) (Target, error) {
		m, err := openGenerations(dir, rotateBytes)
		if err != nil {
			return nil, err
		}
		return newEventLog(m, grouping.join), nil
	}}
}

// Prewritten is the ceiling of what the disk allows: the same frames, grouped in the same way, on space that was
// written before, so that fdatasync has no growth of a file to commit.
func Prewritten(ringBytes int) Way {
	return Way{"prewritten", "ceiling: append and fdatasync on pre-written space", func(dir string) (Target, error) {
		m, err := openRing(dir, ringBytes)
		if err != nil {
			return nil, err
		}
		return newEventLog(m, Adaptive.join), nil
	}}
}
