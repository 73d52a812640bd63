package image

import "io"

// NewBarPrinter returns a printer that draws bars of a width into any writer.
func NewBarPrinter(w io.Writer, width int) *Printer {
	p := NewPrinter(w)
	p.width = func() int { return width }
	return p
}
