package harness

// Ways returns the five ways of making the same events durable, in the order of the table.
func Ways() []Way {
	return []Way{FilePerEvent(), FilePerBatch(), BareFile(), BareLog(Adaptive, RotateBytes), Opossum()}
}

// FilePerEvent is the original's way without its index files.
func FilePerEvent() Way {
	return filesWay("file-per-event", "a file per event with fsync and rename, and an fsynced ledger: the original's way without its index", false)
}

// FilePerEventIndexed is the original's way: an event with two tags costs five fsyncs, one with the workload's three tags six.
func FilePerEventIndexed() Way {
	return filesWay("file-per-event-indexed", "the same with an fsynced index file for the type and each tag: the original's way", true)
}

func filesWay(name, what string, index bool) Way {
	return Way{Name: name, What: what, Open: func(dir string, o OpenOptions) (Target, error) {
		return &filePerEvent{dir: dir, flush: o.Flush, index: index}, nil
	}}
}

// FilePerBatch shares a sync between the files of all that wait.
func FilePerBatch() Way {
	return Way{Name: "file-per-batch", What: "a file per event, one syncfs for all that wait", Open: func(dir string, o OpenOptions) (Target, error) {
		return openFilePerBatch(dir, o.Flush)
	}}
}

// BareFile is one file at the end of which each append is written and fsynced, one after the other.
func BareFile() Way {
	return Way{Name: "growing-file", What: "one growing file, fsync for each append", Open: func(dir string, o OpenOptions) (Target, error) {
		m, err := openGrowingFile(dir)
		if err != nil {
			return nil, err
		}
		return newEventLog(m, o, alone), nil
	}}
}

// BareLog is the yardstick for speed: all that an append to a durable log must do and nothing else. Callers encode and
// checksum; groups are framed, written to tidwall/wal as one entry and fdatasynced once. No index, no conditions.
func BareLog(grouping Grouping, rotateBytes int) Way {
	return Way{Name: "bare-log", What: "the bare log with group commit", Open: func(dir string, o OpenOptions) (Target, error) {
		m, err := openGenerations(dir, rotateBytes)
		if err != nil {
			return nil, err
		}
		return newEventLog(m, o, grouping.join), nil
	}}
}

// Prewritten is the ceiling of what the disk allows: the same frames, grouped in the same way, on space that was
// written before, so that fdatasync has no growth of a file to commit.
func Prewritten(ringBytes int) Way {
	return Way{Name: "prewritten", What: "ceiling: append and fdatasync on pre-written space", Open: func(dir string, o OpenOptions) (Target, error) {
		m, err := openRing(dir, ringBytes)
		if err != nil {
			return nil, err
		}
		return newEventLog(m, o, Adaptive.join), nil
	}}
}
