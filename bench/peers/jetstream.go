package peers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"opossum"
	"opossum/bench/harness"
)

// JetStream is a NATS server in the process, without sockets, with one stream of one replica in files.
//
// # How it is used
//
// An event is a message; its subject is the index: ev.TAG.TAG.TAG.TAG.TYPE. A tag's place in the subject belongs to its kind, which is what stands before its first
// colon; kinds get the four places in the order in which they come, and the stream's metadata keeps them. The type is last, because the server finds
// a subject by its beginning. The position is the message's sequence in the stream.
//
// A condition is the header Nats-Expected-Last-Subject-Sequence with a filter of subjects, wildcards in it. It asks for equality, so for a condition after
// a position the last sequence of the filter is asked for first. Several events are an atomic batch. So are appends of several writers that wait at the same time
// ([committer]), if none of their conditions looks at another's events: the server syncs for each message, but only a few times for a batch.
// From 64 writers on that was several times faster; below 8 that wait a batch costs more than it saves, and they are published side by side.
// If a batch fails for one condition, its appends are published one by one.
//
// # Settings
//
// SyncAlways. DontListen and an in-process connection. AllowDirect and AllowAtomicPublish on the stream. MaxPayload 8 MiB, which the documentation advises as the
// most. All else is the default.
//
// Without flush: no SyncAlways; the server syncs every two minutes.
//
// # What it cannot do
//
// All of these are refused with errors.ErrUnsupported, or opossum.ErrTooLarge: events with two tags of one kind, or with tags of more than four kinds in a store; conditions and
// reads of several items, or with two tags of one kind; conditions of several types, or of both clauses; more than 1,000 events in an append;
// subjects of more than 3,500 bytes, because the protocol's lines have 4 KiB; records of more than 8 MiB less a few.
// There is no walk backwards: the newest are found by reading larger and larger ends of the stream. The server keeps all subjects in memory.
func JetStream() harness.Way {
	return harness.Way{Name: "jetstream", What: "NATS JetStream in the process, synced, tags in the subject", Store: true, Settings: natsSettings,
		Open: openingStore(func(dir string, flush bool) (*natsStore, error) { return openNATS(dir, flush, true) })}
}

// JetStreamPlain is [JetStream] with one subject for all events.
func JetStreamPlain() harness.Way {
	return harness.Way{Name: "jetstream-plain", What: "NATS JetStream in the process, synced, one subject", Settings: natsSettings,
		Open: opening(func(dir string, flush bool) (*natsStore, error) { return openNATS(dir, flush, false) })}
}

const natsSettings = "SyncAlways, DontListen, in-process connection, AllowDirect, AllowAtomicPublish, MaxPayload 8 MiB; 8 appends or more that wait share an atomic batch"

const (
	stream    = "EVENTS"
	places    = 4     // of tags in a subject
	blank     = "~"   // in a place that has no tag
	anything  = "*"   // in a filter
	maxBatch  = 1_000 // messages that the server commits at once
	batchPays = 8     // appends from which on a batch is faster than a sync for each
	readBatch = 1_000 // messages asked for at once
	patience  = time.Minute

	maxPayload = 8 << 20
	maxRecord  = maxPayload - 64<<10 // leaves room for headers
	maxSubject = 3_500               // leaves room in a line of the protocol

	wrongLastSequenceInProcess = 10164 // jetstream has no name for it
)

type natsStore struct {
	indexed   bool
	server    *server.Server
	conn      *nats.Conn
	js        jetstream.JetStream
	stream    jetstream.Stream
	committer committer
	last      atomic.Uint64

	mu    sync.RWMutex
	kinds []string // of tags, by place; only replaced
}

func openNATS(dir string, flush, indexed bool) (_ *natsStore, err error) {
	s := &natsStore{indexed: indexed}
	s.committer.commit = s.commit
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.server, err = server.NewServer(&server.Options{
		JetStream: true, StoreDir: dir, SyncAlways: flush, MaxPayload: maxPayload, DontListen: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, err
	}
	s.server.Start()
	if !s.server.ReadyForConnections(patience) {
		return nil, errors.New("the server is not ready")
	}
	if s.conn, err = nats.Connect("", nats.InProcessServer(s.server)); err != nil {
		return nil, err
	}
	if s.js, err = jetstream.New(s.conn, jetstream.WithDefaultTimeout(patience)); err != nil {
		return nil, err
	}
	ctx := context.Background()
	s.stream, err = s.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.stream, err = s.js.CreateStream(ctx, streamConfig(nil))
	}
	if err != nil {
		return nil, err
	}
	info := s.stream.CachedInfo()
	s.last.Store(info.State.LastSeq)
	s.kinds = strings.Fields(info.Config.Metadata["kinds"])
	return s, nil
}

func streamConfig(kinds []string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: stream, Subjects: []string{"ev.>"}, Storage: jetstream.FileStorage, AllowDirect: true, AllowAtomicPublish: true,
		Metadata: map[string]string{"kinds": strings.Join(kinds, " ")},
	}
}

func (s *natsStore) append(ctx context.Context, a *attempt) (err error) {
	if a.messages, err = s.messages(ctx, a); err != nil {
		return err
	}
	return s.committer.do(a)
}

// messages is an append as messages; the first one carries the condition.
type messages struct {
	list   []*nats.Msg
	filter string           // of the condition; empty: none
	after  opossum.Position // of the condition
	failed error            // if it does not hold
}

// messages makes the messages of an append. It may find that the condition does not hold.
func (s *natsStore) messages(ctx context.Context, a *attempt) (*messages, error) {
	if len(a.events) > maxBatch {
		return nil, fmt.Errorf("%d events: a batch has at most %d messages: %w", len(a.events), maxBatch, errors.ErrUnsupported)
	}
	m := &messages{list: make([]*nats.Msg, len(a.events))}
	for i := range a.events {
		subject, err := s.subject(ctx, &a.events[i])
		if err != nil {
			return nil, err
		}
		if len(a.records[i]) > maxRecord {
			return nil, fmt.Errorf("a record of %d bytes: %w", len(a.records[i]), opossum.ErrTooLarge)
		}
		m.list[i] = &nats.Msg{Subject: subject, Header: nats.Header{}, Data: a.records[i]}
	}
	if a.cond == nil {
		return m, nil
	}
	q := a.cond.FailIfMatch
	m.after, m.failed = a.cond.After, opossum.ErrConditionFailed
	if !a.cond.FailIfExists.IsZero() {
		if !q.IsZero() {
			return nil, fmt.Errorf("two clauses: %w", errors.ErrUnsupported)
		}
		q, m.after, m.failed = a.cond.FailIfExists, 0, opossum.ErrAlreadyExists
	}
	var exact bool
	var err error
	m.filter, exact, err = s.filter(ctx, q, true)
	if err == nil && !exact {
		err = fmt.Errorf("a condition of several types: %w", errors.ErrUnsupported)
	}
	if err == nil {
		err = s.expect(ctx, m)
	}
	return m, err
}

// expect sets what the server compares: the last sequence that matches the filter.
func (s *natsStore) expect(ctx context.Context, m *messages) error {
	var last uint64
	if m.after > 0 {
		msg, err := s.lastOf(ctx, m.filter)
		if err != nil {
			return err
		}
		if msg != nil {
			last = msg.Sequence
		}
		if opossum.Position(last) > m.after {
			return m.failed
		}
	}
	m.list[0].Header = nats.Header{
		jetstream.ExpectedLastSubjSeqHeader:     []string{strconv.FormatUint(last, 10)},
		jetstream.ExpectedLastSubjSeqSubjHeader: []string{m.filter},
	}
	return nil
}

// lastOf returns the last message that matches a filter, or nil.
func (s *natsStore) lastOf(ctx context.Context, filter string) (*jetstream.RawStreamMsg, error) {
	msg, err := s.stream.GetLastMsgForSubject(ctx, filter)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return msg, err
}

// alone publishes an append by itself. A condition that failed for its equality, and not for what it says, is tried again.
func (s *natsStore) alone(ctx context.Context, m *messages) error {
	for {
		err := s.publish(ctx, m.list)
		if m.filter == "" || !mismatch(err) {
			return err
		}
		if m.after == 0 {
			return m.failed
		}
		if err := s.expect(ctx, m); err != nil {
			return err
		}
	}
}

func (s *natsStore) publish(ctx context.Context, list []*nats.Msg) error {
	var head uint64
	if len(list) == 1 {
		ack, err := s.js.PublishMsg(ctx, list[0])
		if err != nil {
			return err
		}
		head = ack.Sequence
	} else {
		ack, err := jetstreamext.PublishMsgBatch(ctx, s.js, list, jetstreamext.BatchFlowControl{AckTimeout: patience})
		if err != nil {
			return err
		}
		head = ack.Sequence
	}
	raise(&s.last, opossum.Position(head))
	return nil
}

// mismatch reports whether the server refused an expected last sequence.
func mismatch(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == wrongLastSequenceInProcess)
}

func (s *natsStore) commit(group []*attempt) {
	for len(group) > 0 {
		n, count := 1, len(group[0].events)
		for n < len(group) && count+len(group[n].events) <= maxBatch && !guards(group[n], group[:n]) {
			count += len(group[n].events)
			n++
		}
		s.commitPart(group[:n])
		group = group[n:]
	}
}

// commitPart commits appends of which none has a condition that looks at another's events.
func (s *natsStore) commitPart(part []*attempt) {
	ctx := context.Background()
	if len(part) >= batchPays {
		var list []*nats.Msg
		for _, a := range part {
			list = append(list, a.messages.list...)
		}
		err := s.publish(ctx, list)
		if !mismatch(err) {
			settle(part, err)
			return
		}
		for _, m := range list {
			for _, header := range []string{jetstreamext.BatchIDHeader, jetstreamext.BatchSeqHeader, jetstreamext.BatchCommitHeader} {
				m.Header.Del(header)
			}
		}
	}
	var all sync.WaitGroup
	for _, a := range part[1:] {
		all.Go(func() { a.err = s.alone(ctx, a.messages) })
	}
	part[0].err = s.alone(ctx, part[0].messages)
	all.Wait()
}

// guards reports whether the condition of a looks at an event of those before it.
func guards(a *attempt, before []*attempt) bool {
	return a.cond != nil && slices.ContainsFunc(before, func(b *attempt) bool {
		return slices.ContainsFunc(b.events, func(e opossum.Event) bool { return a.cond.FailIfMatch.Matches(e) || a.cond.FailIfExists.Matches(e) })
	})
}

// subject returns where an event is published.
func (s *natsStore) subject(ctx context.Context, e *opossum.Event) (string, error) {
	if !s.indexed {
		return "ev.all", nil
	}
	tokens := [places]string{blank, blank, blank, blank}
	for _, t := range e.Tags {
		place, err := s.place(ctx, t, true)
		if err != nil {
			return "", err
		}
		if tokens[place] != blank {
			return "", fmt.Errorf("two tags of the kind of %q: %w", t, errors.ErrUnsupported)
		}
		tokens[place] = token(string(t))
	}
	return join(tokens, token(e.Type))
}

func join(tokens [places]string, typ string) (string, error) {
	subject := "ev." + strings.Join(tokens[:], ".") + "." + typ
	if len(subject) > maxSubject {
		return "", fmt.Errorf("a subject of %d bytes: %w", len(subject), opossum.ErrTooLarge)
	}
	return subject, nil
}

// filter returns the subject that matches what q does, or, if it is not exact, more.
func (s *natsStore) filter(ctx context.Context, q opossum.Query, learn bool) (subject string, exact bool, err error) {
	if q.IsAll() {
		return "ev.>", true, nil
	}
	items := q.Items()
	if len(items) != 1 {
		return "", false, fmt.Errorf("a query of %d items: %w", len(items), errors.ErrUnsupported)
	}
	tokens, typ := [places]string{anything, anything, anything, anything}, anything
	for _, t := range items[0].Tags {
		place, err := s.place(ctx, t, learn)
		if err != nil {
			return "", false, err
		}
		if mine := token(string(t)); tokens[place] == anything || tokens[place] == mine {
			tokens[place] = mine
		} else {
			return "", false, fmt.Errorf("two tags of the kind of %q: %w", t, errors.ErrUnsupported)
		}
	}
	if len(items[0].Types) == 1 {
		typ = token(items[0].Types[0])
	}
	subject, err = join(tokens, typ)
	return subject, len(items[0].Types) <= 1, err
}

var errUnknownKind = errors.New("no event has a tag of this kind")

// place returns where in a subject a tag of this kind stands. Unless a new kind is to be learned, it may be errUnknownKind.
func (s *natsStore) place(ctx context.Context, t opossum.Tag, learn bool) (int, error) {
	kind, _, _ := strings.Cut(string(t), ":")
	if kind == string(t) {
		kind = ""
	}
	kind = token(kind) + ":"
	s.mu.RLock()
	place := slices.Index(s.kinds, kind)
	s.mu.RUnlock()
	if place >= 0 {
		return place, nil
	}
	if !learn {
		return 0, errUnknownKind
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if place = slices.Index(s.kinds, kind); place >= 0 {
		return place, nil
	}
	if len(s.kinds) == places {
		return 0, fmt.Errorf("more than %d kinds of tags: %w", places, errors.ErrUnsupported)
	}
	kinds := append(slices.Clone(s.kinds), kind)
	if _, err := s.js.UpdateStream(ctx, streamConfig(kinds)); err != nil {
		return 0, err
	}
	s.kinds = kinds
	return len(kinds) - 1, nil
}

// token writes a type or tag so that it is a token of a subject, and no filter or blank.
func token(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-_:/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

func (s *natsStore) read(ctx context.Context, q opossum.Query, newest int, yield func(opossum.SequencedEvent)) error {
	filter, exact, err := s.filter(ctx, q, false)
	if errors.Is(err, errUnknownKind) {
		return nil
	}
	if err != nil {
		return err
	}
	head := s.last.Load()
	if newest == 0 {
		return s.forward(ctx, q, filter, 1, head, yield)
	}
	if newest == 1 && exact {
		msg, err := s.lastOf(ctx, filter)
		if msg != nil {
			var e opossum.Event
			if e, err = harness.DecodeRecord(msg.Data); err == nil {
				yield(opossum.SequencedEvent{Position: opossum.Position(msg.Sequence), Event: e})
			}
		}
		return err
	}
	// There is no walk backwards: larger and larger ends of the stream are read forwards.
	for window := uint64(newest); ; window *= 4 {
		from := uint64(1)
		if window < head {
			from = head - window + 1
		}
		var found []opossum.SequencedEvent
		if err := s.forward(ctx, q, filter, from, head, func(e opossum.SequencedEvent) { found = append(found, e) }); err != nil {
			return err
		}
		if len(found) >= newest || from == 1 {
			for i := range min(newest, len(found)) {
				yield(found[len(found)-1-i])
			}
			return nil
		}
	}
}

// forward yields what matches from a position to another.
func (s *natsStore) forward(ctx context.Context, q opossum.Query, filter string, from, to uint64, yield func(opossum.SequencedEvent)) error {
	for from <= to {
		got, err := jetstreamext.GetBatch(ctx, s.js, stream, readBatch, jetstreamext.GetBatchSubject(filter), jetstreamext.GetBatchSeq(from))
		if err != nil {
			return err
		}
		count := 0
		for msg, err := range got {
			if errors.Is(err, jetstreamext.ErrNoMessages) {
				return nil
			}
			if err != nil {
				return err
			}
			if msg.Sequence > to {
				return nil
			}
			count, from = count+1, msg.Sequence+1
			e, err := harness.DecodeRecord(msg.Data)
			if err != nil {
				return err
			}
			if q.Matches(e) {
				yield(opossum.SequencedEvent{Position: opossum.Position(msg.Sequence), Event: e})
			}
		}
		if count < readBatch {
			return nil
		}
	}
	return nil
}

func (s *natsStore) head() opossum.Position { return opossum.Position(s.last.Load()) }

func (s *natsStore) close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
	return nil
}
