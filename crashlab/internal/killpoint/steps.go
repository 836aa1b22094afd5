package killpoint

import "strings"

// The classes of the steps of each scenario. A test sees to it that none is missing; one that a scenario does not meet costs it a case.
var (
	serving = list(
		"reach end",
		"mkdir .", "sync .", "sync ..",
		"create write sync remove ledger.json.tmp", "rename ledger.json",
		"mkdir sync wal",
		"create write sync remove rename wal/N.tmp", "sync remove wal/N.tmp/N", "rename wal/N", // a generation is built, or goes
		"create write sync wal/N", "write sync wal/N/N", // and is written, with room beforehand that a close cuts off
		"create write wal/ACKED",
		"mkdir sync events", "mkdir N", "create write link N.json",
		"mkdir sync index", "create write sync index/.tmp-X", "rename remove index/N-N.idx",
		"create write sync remove storage.probe", "create write storage.json.tmp", "rename storage.json", // of a disk that nobody has measured
	)
	recovering = append(list(
		"mkdir sync quarantine", "create write sync quarantine/wal-N-at-N.bin", // a torn tail
		"link .tmp-X", "rename N.json", // in place of a file that is there
		"remove events/N/.tmp-X", "remove index/.tmp-X",
	), serving...)
	packing = list(
		"reach end",
		"mkdir packs", "create write sync remove packs/.tmp-X", "rename packs/N-N.pack", "sync events",
		"remove events/N/N.json", "remove events/N",
	)
	unpacking = list(
		"reach end",
		"mkdir N", "create write link N.json", "link .tmp-X", "rename N.json", "sync events", "remove packs/N-N.pack",
	)
	keeping = list(
		"reach end",
		"mkdir projections/.build", "mkdir projections/.next", "mkdir projections/.build/M",
		"create write projections/.build/M/index.jsonl", "create write S.json", // a replacement is built
		"rename projections/M", "rename projections/.next/M-N", "remove projections/.next/M-N", "remove projections/.next/M-N/index.jsonl", "remove projections/.next/M-N/S.json",
		"write projections/M/index.jsonl", "create write projections/M/.tmp-X", "rename projections/M/index.jsonl", // it follows, and is compacted
		"create write remove .tmp-X", "link rename remove S.json",
		"remove projections/.next", "remove projections/.next/index.jsonl", "mkdir projections/.gone", "remove projections/.gone", "remove projections/.gone/index.jsonl",
	)
	// atTimes is what keeping meets as well, if a rebuild is cut short at the right moment.
	atTimes = list(
		"rename projections/.gone/M-N", "remove projections/.gone/M-N", "remove projections/.gone/M-N/index.jsonl", "remove projections/.gone/M-N/S.json",
		"create write projections/.build/M/.tmp-X", "rename projections/.build/M/index.jsonl", "remove projections/.gone/M-N/.tmp-X",
	)
	repairing = list(
		"reach end",
		"mkdir sync quarantine", "mkdir sync quarantine/unfinished-repair",
		"mkdir sync quarantine/unfinished-repair/events", "mkdir sync quarantine/unfinished-repair/events/N",
		"create write sync quarantine/unfinished-repair/events/N/N.json.half-copied", "rename quarantine/unfinished-repair/events/N/N.json",
		"rename quarantine/unfinished-repair/events/moved.json",
		"create write sync quarantine/unfinished-repair/ledger.json.half-copied", "rename quarantine/unfinished-repair/ledger.json",
		"mkdir sync quarantine/unfinished-repair/wal", "mkdir sync quarantine/unfinished-repair/wal/N",
		"create write sync quarantine/unfinished-repair/wal/N/N.half-copied", "rename quarantine/unfinished-repair/wal/N/N",
		"mkdir sync quarantine/unfinished-repair/packs", "rename quarantine/unfinished-repair/packs/N-N.pack", "sync packs",
		"mkdir sync quarantine/unfinished-repair/index", "rename quarantine/unfinished-repair/index/N-N.idx",
		"rename quarantine/repair-NTNZ",
		"sync .", "create write sync remove ledger.json.tmp", "rename ledger.json",
		"mkdir sync wal", "create write sync remove rename wal/N.tmp", "sync remove wal/N.tmp/N", "rename wal/N",
		"create write sync wal/ACKED.tmp", "rename wal/ACKED",
		"mkdir sync events", "mkdir N", "create write link rename N.json", "link .tmp-X", "remove events/N/.tmp-X",
		"mkdir sync index", "create write sync remove index/.tmp-X", "rename index/N-N.idx",
	)
)

// list makes classes of lines, each some kinds and a path.
func list(lines ...string) []class {
	var all []class
	for _, line := range lines {
		words := strings.Fields(line)
		for _, kind := range words[:len(words)-1] {
			all = append(all, class(kind+" "+words[len(words)-1]))
		}
	}
	return all
}
