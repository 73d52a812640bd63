package image

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// lineInterval is how often a [Printer] prints a line for each image where it does
// not draw a bar.
const lineInterval = 10 * time.Second

// Printer shows the progress of one or more [Cache.Get] calls: as a bar on a
// terminal, and otherwise as a line when a step begins, every 10 s, and at the
// end. It prints nothing for images that are in the cache. The bar has no color if
// the environment variable NO_COLOR is set.
type Printer struct {
	mu     sync.Mutex
	w      io.Writer
	width  func() int // of the terminal; nil if there is none
	color  bool
	active []*activity
	drawn  bool // a bar is on the terminal
}

// activity is what a printer knows about one source.
type activity struct {
	Progress
	began   time.Time // of the Get
	printed time.Time // of the last line
	line    string    // step of the last line
}

// NewPrinter returns a printer for a file, as [os.Stderr], or another writer. It
// draws bars if that is a terminal that can erase a line.
func NewPrinter(w io.Writer) *Printer {
	p := &Printer{w: w, color: os.Getenv("NO_COLOR") == ""}
	file, ok := w.(*os.File)
	if ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" {
		p.width = func() int {
			width, _, err := term.GetSize(int(file.Fd()))
			if err != nil || width <= 0 {
				return defaultWidth
			}
			return width
		}
	}
	return p
}

// defaultWidth is that of a terminal which does not tell.
const defaultWidth = 80

// Report shows the progress of one [Cache.Get], which takes it as an argument.
// Several goroutines may call it.
func (p *Printer) Report(now Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.find(now.Source)
	a.Progress = now
	if now.End {
		p.remove(a)
	}
	if p.width != nil {
		p.draw(a)
		return
	}
	p.printLine(a)
}

func (p *Printer) find(source string) *activity {
	for _, a := range p.active {
		if a.Source == source {
			return a
		}
	}
	a := &activity{began: time.Now()}
	p.active = append(p.active, a)
	return a
}

func (p *Printer) remove(done *activity) {
	for i, a := range p.active {
		if a == done {
			p.active = append(p.active[:i], p.active[i+1:]...)
			return
		}
	}
}

func (p *Printer) printLine(a *activity) {
	switch {
	case a.End:
		if text := a.ending(); text != "" {
			fmt.Fprintln(p.w, text)
		}
	case a.Step != a.line || time.Since(a.printed) >= lineInterval:
		a.line, a.printed = a.Step, time.Now()
		fmt.Fprintf(p.w, "image %s: %s%s\n", a.Source, a.Step, a.amount())
	}
}

// ending is the last line about an image. An error is printed by the caller of
// Get.
func (a *activity) ending() string {
	if a.Err != nil {
		return ""
	}
	return fmt.Sprintf("image %s: ready after %v", a.Source, time.Since(a.began).Round(100*time.Millisecond))
}

// Terminal control sequences.
const (
	eraseLine  = "\r\x1b[K"
	green      = "\x1b[32m"
	resetColor = "\x1b[0m"
)

// draw replaces the bar by that of the oldest activity, below the last line about
// one that has ended.
func (p *Printer) draw(a *activity) {
	text := ""
	if p.drawn {
		text = eraseLine
	}
	if ending := a.ending(); a.End && ending != "" {
		text += ending + "\n"
	}
	p.drawn = len(p.active) > 0
	if p.drawn {
		text += p.bar(p.active[0], len(p.active)-1, p.width())
	}
	io.WriteString(p.w, text)
}

const (
	barWidth  = 24
	nameWidth = 12 // the least that is shown of a source
)

// bar is a line that is shorter than the terminal is wide. The name is shortened
// to its end, which tells images apart.
func (p *Printer) bar(a *activity, others, width int) string {
	filled, bar := 0, ""
	if a.Total > 0 {
		filled = int(min(a.Done, a.Total) * barWidth / a.Total)
		bar = "[" + strings.Repeat("#", filled) + strings.Repeat("-", barWidth-filled) + "] "
	}
	after := " " + bar + a.Step + a.amount()
	if others > 0 {
		after += fmt.Sprintf(" (and %d more)", others)
	}
	name := []rune(a.Source)
	if room := max(nameWidth, width-1-len(after)); len(name) > room {
		name = append([]rune("..."), name[len(name)-room+3:]...)
	}
	line := append(name, []rune(after)...) // one column each
	text := string(line[:min(len(line), max(0, width-1))])
	if p.color && filled > 0 {
		done := strings.Repeat("#", filled)
		text = strings.Replace(text, "["+done, "["+green+done+resetColor, 1)
	}
	return text
}

// amount is as in ": 120 MiB of 1.5 GiB (8 %), 12 MiB/s, 2m0s left". It is empty
// while nothing is known.
func (p Progress) amount() string {
	if p.Done == 0 && p.Total == 0 {
		return ""
	}
	text := ": " + size(float64(p.Done))
	if p.Total > 0 {
		text += fmt.Sprintf(" of %s (%d %%)", size(float64(p.Total)), int64(float64(p.Done)/float64(p.Total)*100))
	}
	if p.Rate > 0 {
		text += fmt.Sprintf(", %s/s", size(p.Rate))
		if left := float64(p.Total-p.Done) / p.Rate; left >= 1 {
			text += fmt.Sprintf(", %v left", time.Duration(left)*time.Second)
		}
	}
	return text
}

// size prints bytes with three digits at most.
func size(bytes float64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	unit := 0
	for bytes >= 999.5 && unit < len(units)-1 {
		bytes /= 1024
		unit++
	}
	if unit > 0 && bytes < 9.95 {
		return fmt.Sprintf("%.1f %s", bytes, units[unit])
	}
	return fmt.Sprintf("%.0f %s", bytes, units[unit])
}
