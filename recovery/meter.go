package recovery

import "sync"

// meter tells how far a long work has come. Its methods are safe for concurrent use.
type meter struct {
	sync.Mutex
	tell        func(done, total uint64) // called under the lock: never concurrently
	done, total uint64
}

func newMeter(tell func(done, total uint64)) *meter {
	if tell == nil {
		tell = func(uint64, uint64) {}
	}
	return &meter{tell: tell}
}

// move adds to what is done and to what there is to do.
func (m *meter) move(done, total uint64) {
	m.Lock()
	defer m.Unlock()
	m.done, m.total = m.done+done, m.total+total
	m.tell(m.done, m.total)
}
