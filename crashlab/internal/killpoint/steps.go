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
	repairing = list(
		"reach end",
		"mkdir sync quarantine", "mkdir sync quarantine/unfinished-repair",
		"mkdir sync quarantine/unfinished-repair/events", "mkdir sync quarantine/unfinished-repair/events/N",
		"create write sync quarantine/unfinished-repair/events/N/N.json.half-copied", "rename quarantine/unfinished-repair/events/N/N.json",
		"rename quarantine/unfinished-repair/events/moved.json",
		"create write sync quarantine/unfinished-repair/ledger.json.half-copied", "rename quarantine/unfinished-repair/ledger.json",
		"mkdir sync quarantine/unfinished-repair/wal", "mkdir sync quarantine/unfinished-repair/wal/N",
		"create write sync quarantine/unfinished-repair/wal/N/N.half-copied", "rename quarantine/unfinished-repair/wal/N/N",
		"mkdir sync quarantine/unfinished-repair/index", "rename quarantine/unfinished-repair/index/N-N.idx",
		"rename quarantine/repair-NTNZ",
		"sync .", "create write sync remove ledger.json.tmp", "rename ledger.json",
		"mkdir sync wal", "create write sync remove rename wal/N.tmp", "sync remove wal/N.tmp/N", "rename wal/N",
		"create write sync wal/ACKED.tmp", "rename wal/ACKED",
		"mkdir sync events", "create write link rename N.json", "link .tmp-X", "remove events/N/.tmp-X",
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
