package image

import (
	"fmt"
	"sync"
	"time"
)

// Progress is the state of one [Cache.Get].
type Progress struct {
	Source string  // without secrets
	Step   string  // "downloading", "decompressing", "waiting for process 4711"
	Done   int64   // bytes
	Total  int64   // bytes, or 0 while it is unknown
	Rate   float64 // bytes a second since the step began
	// End is true in the last report. Err is why Get failed, nil if it succeeded.
	End bool
	Err error
}

// reportInterval bounds how often progress is reported within one step.
const reportInterval = 100 * time.Millisecond

// rateAfter is how long a step has to last before its rate means something.
const rateAfter = 500 * time.Millisecond

// meter reports the progress of one Get. A nil report makes it silent.
type meter struct {
	mu       sync.Mutex
	report   func(Progress)
	now      Progress
	began    time.Time // of the step
	from     int64     // Done when the step began
	reported time.Time
}

// step begins a step with what is done of it already.
func (m *meter) step(done, total int64, format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Step = fmt.Sprintf(format, args...)
	m.begin(done, total)
}

// restart is step without another name.
func (m *meter) restart(done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begin(done, total)
}

func (m *meter) begin(done, total int64) {
	m.now.Done, m.now.Total, m.now.Rate = done, total, 0
	m.began, m.from = time.Now(), done
	m.send()
}

// advance says how many bytes are done, and how many there are.
func (m *meter) advance(done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Done, m.now.Total = done, total
	if elapsed := time.Since(m.began); elapsed >= rateAfter {
		m.now.Rate = max(0, float64(done-m.from)/elapsed.Seconds())
	}
	if time.Since(m.reported) >= reportInterval || done == total {
		m.send()
	}
}

// end makes the last report, unless there was none before.
func (m *meter) end(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now.Step == "" {
		return
	}
	m.now.End, m.now.Err = true, err
	m.send()
}

func (m *meter) send() {
	m.reported = time.Now()
	if m.report != nil {
		m.report(m.now)
	}
}
