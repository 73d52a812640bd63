// Package tracetest reads traces in tests.
package tracetest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// Event is an event of a trace. Times are in microseconds.
type Event struct {
	Name     string            `json:"name"`
	Phase    string            `json:"ph"`
	Time     int64             `json:"ts"`
	Duration int64             `json:"dur"`
	Process  int               `json:"pid"`
	Track    int64             `json:"tid"`
	Args     map[string]string `json:"args"`
}

// End is when the event ended.
func (e Event) End() int64 { return e.Time + e.Duration }

// Trace is the events of a file in their order.
type Trace []Event

// Read reads a file. It fails if the file with a closing bracket is no JSON array of
// events, or if an event is not on a line of its own.
func Read(path string) (t Trace, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(append(slices.Clone(text), ']')))
	if err := decoder.Decode(&t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if lines := bytes.Count(text, []byte("\n")); lines != len(t) {
		return nil, fmt.Errorf("%s: %d events on %d lines", path, len(t), lines)
	}
	return t, nil
}

// Labels are the names of the tracks of a process, in their order.
func (t Trace) Labels(process int) (labels []string) {
	for _, e := range t {
		if e.Name == "thread_name" && e.Process == process {
			labels = append(labels, e.Args["name"])
		}
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}

// Processes are the processes that wrote events, in their order.
func (t Trace) Processes() (all []int) {
	for _, e := range t {
		all = append(all, e.Process)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Of are the spans and marks of a host in a process, in the order of their times.
func (t Trace) Of(process int, label string) (events Trace) {
	for _, named := range t {
		if named.Name != "thread_name" || named.Process != process || named.Args["name"] != label {
			continue
		}
		for _, e := range t {
			if e.Process == process && e.Track == named.Track && e.Phase != "M" {
				events = append(events, e)
			}
		}
		break
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) })
	return events
}

// Names are the names of the events.
func (t Trace) Names() (names []string) {
	for _, e := range t {
		names = append(names, e.Name)
	}
	return names
}

// Named is the first event of a name, or an event without a name.
func (t Trace) Named(name string) Event {
	for _, e := range t {
		if e.Name == name {
			return e
		}
	}
	return Event{}
}

// CheckNesting fails if two spans of one track overlap and neither contains the other.
// t is the events of one track.
func (t Trace) CheckNesting() error {
	var open []Event
	for _, e := range t {
		for len(open) > 0 && open[len(open)-1].End() <= e.Time {
			open = open[:len(open)-1]
		}
		if len(open) > 0 && open[len(open)-1].End() < e.End() {
			return fmt.Errorf("%v begins in %v and ends after it", e, open[len(open)-1])
		}
		open = append(open, e)
	}
	return nil
}
