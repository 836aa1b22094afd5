package opossum

import "time"

// watchEvery is how often the engine looks for states that nothing announces.
const watchEvery = stallAfter / 2

// calm is for how long such a state must be gone to be over: they flicker, and a line for each time would hide the others.
const calm = 5 * time.Second

// spell follows a state that flickers.
type spell struct {
	on   bool
	last time.Time // when the state was seen last
}

// look is given what is so now, and tells whether the spell has begun or ended by it.
func (s *spell) look(now time.Time, is bool) (begins, ends bool) {
	was := s.on
	if is {
		s.on, s.last = true, now
	} else if now.Sub(s.last) >= calm {
		s.on = false
	}
	return s.on && !was, was && !s.on
}

// watch says so when a commit does not return, when appends are refused for want of space, and when they have to wait for filing. There is nothing
// else to be done about a disk that hangs, is full, or slow. It touches no disk, because it must not hang itself; nor is there anything to say after
// poison.
func (e *Engine) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var hanging, full, waiting spell
	for {
		select {
		case <-e.quit:
			return
		case now := <-tick.C:
			if e.poison.Load() != nil {
				return
			}
			d := e.seq.Stalled(now)
			if begins, ends := hanging.look(now, d >= stallAfter); begins {
				e.logger.Warn("opossum: a write or sync of the log does not return", "for", d)
			} else if ends {
				e.logger.Info("opossum: writes and syncs of the log return again")
			}
			if begins, ends := full.look(now, e.seq.DiskFull()); begins {
				e.logger.Warn("opossum: the disk is full, appends are refused")
			} else if ends {
				e.logger.Info("opossum: the disk has room again, appends are accepted")
			}
			if begins, ends := waiting.look(now, e.seq.Held()); begins {
				e.logger.Warn("opossum: appends wait for filing, which is behind by MaxLag")
			} else if ends {
				e.logger.Info("opossum: appends wait for filing no longer")
			}
		}
	}
}
