package sabotage

import "opossum/crashlab/internal/variant"

// All are the sabotages, along the way of an event: appending, publishing, rotating, filing, checkpointing, recovering; and of read models.
var All = []Sabotage{
	{
		Name:  "acknowledge-before-sync",
		About: "An append is answered when it is written, and synced afterwards: a rival's suite of 300 kills let this through.",
		Edits: []variant.Edit{
			{
				File: committerFile,
				Old:  syncLines + placesLines + visibleLine,
				New: placesLines + visibleLine + `
	close(g.done)
` + syncLines,
			},
			closeOnce,
		},
		By: []string{"cutpoints/ext4/append", "cuts/ext4"},
	},
	{
		Name:  "publish-before-durable",
		About: "Readers see an event before the sync, and a power cut takes back what they saw.",
		Edits: []variant.Edit{{
			File: committerFile,
			Old:  syncLines + placesLines + visibleLine,
			New:  placesLines + visibleLine + syncLines,
		}},
		By: []string{"cutpoints/ext4/append", "cuts/ext4"},
	},
	{
		Name:  "count-off-by-one-group",
		About: "FlushCount counts what was not synced before a group, and not the group: it syncs after it has acknowledged too many events.",
		Edits: []variant.Edit{{
			File: committerFile,
			Old:  `s.cfg.Flush.due(uint64(last-s.cfg.Log.Durable()), age)`,
			New:  `(!s.cfg.Flush.Relaxed() || s.cfg.Flush.due(uint64(g.first-1-s.cfg.Log.Durable()), age))`,
		}},
		By: []string{"windows/ext4", "windows/xfs"},
	},
	{
		Name:  "interval-ignored",
		About: "FlushPeriodic never syncs, however old what is not synced becomes.",
		Edits: []variant.Edit{
			{File: flushFile, Old: ` || age >= p.Interval && p.Relaxed()`, New: ``},
			{File: committerFile, Old: ` || s.cfg.Flush.Interval == Never || `, New: ` || s.cfg.Flush.Relaxed() || `},
		},
		By: []string{"windows/ext4", "windows/xfs"},
	},
	{
		Name:  "interval-of-the-newest",
		About: "FlushPeriodic looks at the age of the newest event that is not synced: while appends keep coming, it never syncs.",
		Edits: []variant.Edit{{
			File: committerFile,
			Old:  `	if s.cfg.Log.Durable() == g.first-1 {`,
			New:  `	if true {`,
		}},
		By: []string{"windows/ext4", "windows/xfs"},
	},
	{
		Name:  "due-after-acknowledging",
		About: "FlushPeriodic and FlushCount sync what is due after they have acknowledged the group that made it due.",
		Edits: []variant.Edit{
			{
				File: committerFile,
				Old:  syncLines + placesLines + visibleLine,
				New: `	sync := func() error {
` + syncLines + `		return nil
	}
	if s.cfg.Flush.Interval == 0 || s.cfg.Flush.Interval == Never {
		if err := sync(); err != nil {
			return err
		}
	}
` + placesLines + visibleLine + `
	close(g.done)
	if err := sync(); err != nil {
		return err
	}
`,
			},
			closeOnce,
		},
		By: []string{"windows/ext4", "windows/xfs"},
	},
	{
		Name:  "durable-too-early",
		About: "What is acknowledged is called durable, whether or not it is synced: WaitDurable and WhenDurable come back at once.",
		Edits: []variant.Edit{{
			File: committerFile,
			Old:  visibleLine + `	s.cfg.Ledger.Advance(ledger.Durable, s.cfg.Log.Durable())`,
			New:  visibleLine + `	s.cfg.Ledger.Advance(ledger.Durable, last)`,
		}},
		By: []string{"windows/ext4", "windows/xfs"},
	},
	{
		Name:  "when-durable-ignored",
		About: "An append with WhenDurable is acknowledged as any other.",
		Edits: []variant.Edit{{
			File: sequencerFile,
			Old:  `	if whenDurable {`,
			New:  `	if false {`,
		}},
		By: []string{"windows/ext4", "windows/xfs"},
	},
	{
		Name:  "sync-does-nothing",
		About: "Sync and WaitDurable of a relaxed store return when what they are asked for is readable.",
		Edits: []variant.Edit{
			{
				File: sequencerFile,
				Old:  `	if err := s.syncTo(ctx, s.cfg.Ledger.Get(ledger.Visible)); err != nil {`,
				New:  `	if err := ctx.Err(); err != nil {`,
			},
			{
				File: "engine.go",
				Old:  `	if err := e.ledger.Wait(ctx, ledger.Durable, p); err != nil {`,
				New:  `	if err := ctx.Err(); err != nil {`,
			},
		},
		By: []string{"windows/ext4", "windows/xfs"},
	},
	{
		Name:  "staged-events-ignored",
		About: "A condition is checked against what is visible only, not against what is staged: two appends that exclude each other both succeed.",
		Edits: []variant.Edit{{
			File: sequencerFile,
			Old:  `b.check(v, h0, s.mu.staged)`,
			New:  `b.check(v, h0, h0)`,
		}},
		By: []string{"races"},
	},
	{
		Name:  "directory-for-file",
		About: "A batch is flushed by syncing the directory of the log, as the original system sketched it: that makes names durable, and no byte of the file.",
		Edits: []variant.Edit{
			{
				File: "wal/log.go",
				Old:  `opt.Fdatasync = step.Datasync`,
				New:  `opt.Fdatasync = func(f *os.File) error { return step.SyncDir(filepath.Dir(f.Name())) }`,
			},
		},
		By: []string{"cuts/ext4", "cuts/xfs"},
	},
	{
		Name:  "sync-retried",
		About: "A sync that failed is called again, and its nil is believed: PostgreSQL's fsyncgate. The kernel has dropped the pages.",
		Edits: []variant.Edit{{
			File: "wal/log.go",
			Old: `	if err := l.opt.Fdatasync(l.w.file); err != nil {
		return err`,
			New: `	if err := l.opt.Fdatasync(l.w.file); err != nil && l.opt.Fdatasync(l.w.file) != nil {
		return err`,
		}},
		By: []string{"diskerror/ext4"},
	},
	{
		Name:  "no-frame-checksum",
		About: "What has the form of a frame and of a record is believed, whatever its checksums say.",
		Edits: []variant.Edit{
			{
				File: "wal/format.go",
				Old:  `if frameSum(b, id, gen, f.No) != f.Sum {`,
				New:  `if _ = frameSum(b, id, gen, f.No); false {`,
			},
			{
				File: "internal/codec/record.go",
				Old:  `if binary.LittleEndian.Uint64(rec[4:])^place(seed, p) != xxhash.Sum64(payload) {`,
				New:  `if _ = place(seed, p); false {`,
			},
		},
		By: []string{"rot/log"},
	},
	{
		Name:  "generation-name-unsynced",
		About: "The log rotates into a file whose name nobody made durable: raft-wal's tests found the same in it.",
		Edits: []variant.Edit{
			{
				File: "wal/dir.go",
				Old:  `	if err := step.SyncDir(dir); err != nil {`,
				New:  `	if err := error(nil); err != nil {`,
			},
			{
				File: "wal/dir.go",
				Old:  `	return b, step.SyncDir(path)`,
				New:  `	return b, nil`,
			},
		},
		By:          []string{"blocks/btrfs", "cuts/ext4"},
		Uncatchable: "seldom: ext4 and xfs commit the name with the first sync of the file, and so does btrfs, unless it commits a transaction between the making and the naming",
	},
	{
		Name:  "generation-unsynced",
		About: "A generation is published by its name before its bytes are synced: a power cut after recovery takes what recovery had written anew.",
		Edits: []variant.Edit{
			{
				File: "wal/dir.go",
				Old: `	if err := step.Sync(g.file); err != nil {
		return Built{}, err
	}
`,
				New: ``,
			},
			{ // tidwall/wal syncs what it closes: leave it open
				File: "wal/dir.go",
				Old:  `return step.Do(step.KindSync, path, tail.Close)`,
				New:  `return nil`,
			},
		},
		By: []string{"cuts/ext4"},
	},
	{
		Name:  "trim-before-link",
		About: "A generation is deleted though the link frame behind it is not yet durable: a power cut leaves a log without an end.",
		Edits: []variant.Edit{{
			File: "wal/log.go",
			Old:  `gens[n].last <= s && gens[n+1].no <= l.anchored.Load() {`,
			New:  `gens[n].last <= s {`,
		}},
		By:          []string{"cutpoints/ext4/append"},
		Uncatchable: "the checkpoint would have to end within the one sync that follows a rotation, some hundred microseconds in eight megabytes of log",
	},
	{
		Name:  "no-directory-sync",
		About: "No directory is ever synced: new names, and renames, wait for the file system's own time.",
		Edits: []variant.Edit{{
			File: "internal/step/step.go",
			Old:  `	return errors.Join(Sync(d), d.Close())`,
			New:  `	return errors.Join(d.Close())`,
		}},
		By: []string{"cuts/ext4", "cuts/xfs"},
	},
	{
		Name:  "exists-so-skip",
		About: "Replay leaves an event file alone that is there already, though a power cut may have left it empty: the original system lost events so.",
		Edits: []variant.Edit{{
			File: "internal/eventfile/write_linux.go",
			Old: `	err := linkAt(from, dir, name)
	if err != unix.EEXIST {`,
			New: `	err := linkAt(from, dir, name)
	if err == unix.EEXIST {
		return nil
	} else {`,
		}},
		By: []string{"cuts/ext4", "cuts/xfs"},
	},
	{
		Name:  "checkpoint-before-sync",
		About: "The ledger says that events are filed, and then their files are synced.",
		Edits: []variant.Edit{
			{File: materializerFile, Old: syncFilesLines, New: ``},
			{
				File: materializerFile,
				Old:  `	m.cfg.Ledger.Advance(ledger.Materialized, s)`,
				New:  syncFilesLines + `	m.cfg.Ledger.Advance(ledger.Materialized, s)`,
			},
		},
		By: []string{"cutpoints/ext4/append", "cuts/ext4"},
	},
	{
		Name:  "checkpoint-without-sync",
		About: "The ledger says that events are filed, and their files are never synced.",
		Edits: []variant.Edit{{File: materializerFile, Old: syncFilesLines, New: ``}},
		By:    []string{"cuts/ext4", "cuts/xfs"},
	},
	{
		Name:  "checkpoint-despite-error",
		About: "The error of syncing the event files is logged, and the checkpoint made all the same.",
		Edits: []variant.Edit{{
			File: materializerFile,
			Old:  `		return fmt.Errorf("materializer: sync event files: %w", err)`,
			New:  `		m.cfg.Logger.Warn("opossum: sync event files", "error", err)`,
		}},
		By: []string{"diskerror/ext4"},
	},
	{
		Name:  "files-removed-before-sync",
		About: "The event files of a shard are removed when its pack is written, and nobody has synced the pack.",
		Edits: []variant.Edit{{File: packFile, Old: syncPackLines, New: ``}},
		By:    []string{"cutpoints/ext4/pack", "cuts/ext4", "cuts/xfs"},
	},
	{
		Name:  "packing-despite-error",
		About: "The error of syncing a pack is logged, and the files of its events are removed all the same.",
		Edits: []variant.Edit{{
			File: packFile,
			Old:  `		return lastingError{fmt.Errorf("materializer: sync a pack: %w", err)}`,
			New:  `		m.cfg.Logger.Warn("opossum: sync a pack", "error", err)`,
		}},
		By: []string{"diskerror/ext4"},
	},
	{
		Name:  "pack-not-verified",
		About: "A pack that an owner who died has left is believed to be whole, and the files of its events are removed: what a power cut left of it is all that remains.",
		Edits: []variant.Edit{
			{
				File: packFile,
				Old:  `	packed := m.cfg.Files.PackedHere(shard)`,
				New:  `	packed := m.cfg.Files.Packed(shard)`,
			},
			{
				File: packFile,
				Old:  `		err := m.cfg.Files.VerifyPack(ctx, shard)`,
				New:  `		err := ctx.Err()`,
			},
		},
		By: []string{"kills/pack"},
	},
	{
		Name:  "unpacked-pack-removed-before-sync",
		About: "A pack is removed when the files of its events are written, and nobody has synced them.",
		Edits: []variant.Edit{{
			File: packFile,
			Old: `	if err := m.cfg.Files.Sync(); err != nil {
		return lastingError{fmt.Errorf("materializer: sync event files: %w", err)}
	}
`,
			New: ``,
		}},
		By: []string{"cutpoints/ext4/unpack", "cuts/ext4", "cuts/xfs"},
	},
	{
		Name:  "pack-named-before-written",
		About: "A pack gets its name before its last bytes, the footer among them, are written.",
		Edits: []variant.Edit{
			{
				File: "internal/pack/build.go",
				Old: `	if err := b.flush(); err != nil {
		return err
	}
	temp, path := b.f.Name(), filepath.Join(b.dir, Name(b.place.r))
`,
				New: `	temp, path := b.f.Name(), filepath.Join(b.dir, Name(b.place.r))
	if err := step.Rename(temp, path); err != nil {
		return b.fail(fmt.Errorf("pack: %w", err))
	}
	if err := b.flush(); err != nil {
		return err
	}
`,
			},
			{
				File: "internal/pack/build.go",
				Old: `	if err := step.Rename(temp, path); err != nil {
		return b.fail(fmt.Errorf("pack: %w", err))
	}
	b.f, b.err = nil, errDone`,
				New: `	b.f, b.err = nil, errDone`,
			},
		},
		By: []string{"kills/pack"}, // if it replaces the only copy of some events; any other time these are in files or in the log
	},
	{
		Name:  "pack-replaced-unsynced",
		About: "A pack that holds the only copy of its events is replaced by one that nobody has synced: the name is durable before the contents.",
		Edits: []variant.Edit{{
			File: "internal/pack/build.go",
			Old:  `		if err := step.Sync(b.f); err != nil {`,
			New:  `		if err := error(nil); err != nil {`,
		}},
		By: []string{"cutpoints/xfs/pack"}, // ext4 writes the contents of a file that is to replace another before it commits the name
	},
	{
		Name:  "file-beside-a-bad-pack-ignored",
		About: "An event in a damaged block of a pack counts as lost, though its file is still there.",
		Edits: []variant.Edit{{
			File: "internal/eventfile/read.go",
			Old: `	ev, err := s.readLoose(p)
	if err == nil {
		return ev, nil
	}
`,
			New: `	err := error(fs.ErrNotExist)
	if errors.Is(packErr, fs.ErrNotExist) {
		ev, err = s.readLoose(p)
	}
	if err == nil {
		return ev, nil
	}
`,
		}},
		By: []string{"kills/pack"},
	},
	{
		Name:  "ledger-unsynced",
		About: "The new ledger is renamed over the old one before its bytes are synced: the classic zero-length file after a crash.",
		Edits: []variant.Edit{{
			File: "ledger/file.go",
			Old:  `errors.Join(step.Sync(f), f.Close())`,
			New:  `errors.Join(f.Close())`,
		}},
		By: []string{"cuts/xfs", "cuts/ext4"},
	},
	{
		Name:  "trim-before-checkpoint",
		About: "The log is trimmed up to a checkpoint that the ledger does not yet name.",
		Edits: []variant.Edit{
			{File: materializerFile, Old: "\tm.trim(s)\n", New: ``},
			{
				File: materializerFile,
				Old: `	for stalled := false; ; stalled = true {
		err := m.cfg.Checkpoint(s)`,
				New: `	m.trim(s)
	for stalled := false; ; stalled = true {
		err := m.cfg.Checkpoint(s)`,
			},
		},
		By: []string{"kills/append"},
	},
	{
		Name:  "segment-unsynced",
		About: "An index segment gets its name before its bytes are synced.",
		Edits: []variant.Edit{{
			File: "internal/segment/writer.go",
			Old:  `		w.err = step.Sync(w.f)`,
			New:  `		w.err = nil`,
		}},
		By:          []string{"cuts/ext4", "blocks/ext4"},
		Uncatchable: "what a power cut leaves of a segment has no footer or no matching sums, and recovery builds it anew",
	},
	{
		Name:  "tail-not-indexed",
		About: "After a crash the index answers from its segments alone: what the log has above them is read, and not indexed anew.",
		Edits: []variant.Edit{{
			File: "internal/index/tail.go",
			Old:  `			t.ix.Active().Stage(p, t.terms)`,
			New:  `			t.ix.Active().Stage(p, nil)`,
		}},
		By: []string{"cuts/ext4"},
	},
	{
		Name:  "damaged-is-empty",
		About: "An index segment that cannot be read counts as one without a match: the original system took a corrupt index for an empty one.",
		Edits: []variant.Edit{{
			File: "internal/index/view.go",
			Old:  `	if *failed == nil {`,
			New:  `	if *failed = nil; false {`,
		}},
		By: []string{"rot/index"},
	},
	{
		Name:  "cut-at-first-bad-frame",
		About: "Recovery takes whatever is damaged for a torn tail and cuts it, without asking whether it had been acknowledged.",
		Edits: []variant.Edit{
			{
				File: "recovery/plan.go",
				Old:  `	f, rotten := g.Rotten()`,
				New: `	f, rotten := g.Rotten()
	rotten = false`,
			},
			{
				File: "recovery/plan.go",
				Old:  `	if err := d.heed(tail, p.Head); err != nil {`,
				New:  `	if err := d.heed(tail, 1<<63); err != nil {`,
			},
		},
		By: []string{"rot/log"},
	},
	{
		Name:  "recovery-in-place",
		About: "Recovery truncates the log and goes on behind what a killed process left in the page cache, with no sync: the next power cut takes that back.",
		Edits: []variant.Edit{
			{
				File: "recovery/plan.go",
				Old:  `	if d.clean(tail, p.Head) && len(p.Cuts) == 0 {`,
				New: `	if clean := d.clean(tail, p.Head) && len(p.Cuts) == 0; true {
		p.RaiseEpoch = d.Ledger.Relaxed && !clean`,
			},
			{
				File: "recovery/plan.go",
				Old:  `p.Tail = wal.Witness{Gen: tail.Gen, End: tail.Size, `,
				New:  `p.Tail = wal.Witness{Gen: tail.Gen, End: tail.Valid, `,
			},
			{
				File: "recovery/apply.go",
				Old: `	switch p.Outcome {
	case Created:`,
				New: `	if p.Outcome == Clean { // room goes as well
		if err := os.Truncate(wal.GenerationPath(walDir, p.Tail.Gen), p.Tail.End); err != nil {
			return o, err
		}
	}
	switch p.Outcome {
	case Created:`,
			},
		},
		By: []string{"cutpoints/ext4/recovery"},
	},
	{
		Name:  "quarantine-skipped",
		About: "What recovery cuts off is not kept, though the report says so.",
		Edits: []variant.Edit{{
			File: "recovery/apply.go",
			Old:  `		if err := writeDurably(path, c.of(b)); err != nil {`,
			New:  `		if err := writeDurably(path, b[:0]); err != nil {`,
		}},
		By: []string{"kills/recovery"},
	},
	{
		Name:  "epoch-not-raised",
		About: "A store that acknowledges before it syncs loses events in a power cut, and tells nobody that saved positions are of a lost future.",
		Edits: []variant.Edit{{
			File: "recovery/plan.go",
			Old:  `		p.RaiseEpoch = d.Ledger.Relaxed`,
			New:  `		p.RaiseEpoch = false`,
		}},
		By: []string{"cuts/ext4"},
	},
	{
		Name:  "checkpoint-before-state",
		About: "The checkpoint of a read model is written before the states that it speaks of.",
		Edits: []variant.Edit{{
			File: readModelFile,
			Old:  `s.append(lines); err`,
			New:  `s.append(appendCheckpoint(s.log.sum, lines, at)); err`,
		}},
		By: []string{"models/kills"},
	},
	{
		Name:  "no-position-in-state",
		About: "A read model does not look at the position that a state includes: what was applied before a crash is applied again.",
		Edits: []variant.Edit{{
			File: "projection/fold.go",
			Old:  `	if e.Position <= h.rec.Position {`,
			New:  `	if e.Position == 0 {`,
		}},
		By: []string{"models/kills"},
	},
	{
		Name:  "state-not-announced",
		About: "The log of a read model hears of a state when its file is there: who is killed in between has an index that says something else.",
		Edits: []variant.Edit{
			{
				File: readModelFile,
				Old: `		if err := s.append(lines); err != nil {
			return err
		}
`,
				New: ``,
			},
			{
				File: readModelFile,
				Old: `	if err := s.append(appendCheckpoint(s.log.sum, nil, at)); err != nil {
		return errors.Join(err, s.mend())`,
				New: `	if err := s.append(appendCheckpoint(s.log.sum, lines, at)); err != nil {
		return errors.Join(err, s.mend())`,
			},
		},
		By: []string{"models/kills"},
	},
	{
		Name:  "replaced-in-two-steps",
		About: "A read model is moved away and its replacement put there, and nobody makes up for the second step.",
		Edits: []variant.Edit{
			{
				File: "projection/files_linux.go",
				Old:  `unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, live, unix.RENAME_EXCHANGE)`,
				New:  `unix.ENOSYS`,
			},
			{File: "projection/files.go", Old: `	for n, number := range latest {`, New: `	for n, number := range map[string]uint64{} {`},
		},
		By: []string{"models/kills"},
	},
	{
		Name:  "cut-taken-for-a-kill",
		About: "After a power cut the files of a read model are believed as if only its process had died.",
		Edits: []variant.Edit{{
			File: readModelFile,
			Old:  `	trusted := s.session != "" && l.session == s.session && l.rot == ""`,
			New:  `	trusted := l.rot == ""`,
		}},
		By: []string{"models/ext4", "models/xfs"},
	},
	{
		Name:  "old-state-believed",
		About: "A state file that is what it was once passes for the newest, and the events in between are never applied. The journals of ext4 and xfs keep it from that; another file system does not.",
		Edits: []variant.Edit{
			{File: judgeFile, Old: `	case was.info.Position != r.Position:`, New: `	case was.info.Position < r.Position:`},
			{File: judgeFile, Old: `	case was.tomb != is.tomb || !was.info.equal(is.info):`, New: `	case was.tomb != is.tomb:`},
		},
		By: []string{"models/rot"},
	},
	{
		Name:  "state-sum-unchecked",
		About: "A state file is believed if it has the form of one: bits that have rotted are read.",
		Edits: []variant.Edit{
			{File: recordFile, Old: `!bytes.Equal(tail, want)`, New: `len(tail) != len(want)`},
			{File: recordFile, Old: ` || checkRecord(r) != nil || !bytes.Equal(encodeRecord(r), b) {`, New: ` || checkRecord(r) != nil {`},
		},
		By: []string{"models/rot"},
	},
}

// Pieces of the code that several edits move about.
const (
	sequencerFile    = "internal/sequencer/sequencer.go"
	committerFile    = "internal/sequencer/committer.go"
	flushFile        = "internal/sequencer/flush.go"
	materializerFile = "materializer/materializer.go"
	packFile         = "materializer/pack.go"
	readModelFile    = "projection/files_store.go"
	recordFile       = "projection/record.go"
	judgeFile        = "projection/store_judge.go"

	syncLines = `	if s.cfg.Flush.due(uint64(last-s.cfg.Log.Durable()), age) || s.Held() {
		if err := s.cfg.Log.Sync(); err != nil {
			return err
		}
	}
`
	placesLines = `	g.setPlaces(s.cfg.Places, at)
`
	visibleLine = `	s.cfg.Ledger.Advance(ledger.Visible, last)
`
	syncPackLines = `	if err := m.cfg.Files.Sync(); err != nil {
		return lastingError{fmt.Errorf("materializer: sync a pack: %w", err)}
	}
`
	syncFilesLines = `	if err := m.cfg.Files.Sync(); err != nil {
		return fmt.Errorf("materializer: sync event files: %w", err)
	}
`
)

// closeOnce is for a group that was answered before it was synced.
var closeOnce = variant.Edit{
	File: committerFile,
	Old: `			g.err = fmt.Errorf("%w: %w", dcb.ErrOutcomeUnknown, err)
		}
		s.party = s.waiting.Load() + int64(len(g.bodies)) // before anyone comes back and is counted twice
		close(g.done)`,
	New: `		}
		s.party = s.waiting.Load() + int64(len(g.bodies)) // before anyone comes back and is counted twice
		select {
		case <-g.done:
		default:
			if err := s.ended(); err != nil {
				g.err = fmt.Errorf("%w: %w", dcb.ErrOutcomeUnknown, err)
			}
			close(g.done)
		}`,
}
