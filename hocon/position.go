package hocon

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"
)

// A Position is a place in a configuration file. File is the name as it was
// given to the parser; an included file is named the way it was reached from
// there. Line and Column count from 1, columns in characters. Something that
// was not read from a text, as an entry of FromMap, has Line 0.
type Position struct {
	File   string
	Line   int
	Column int
}

// String is "file:line:column", or the file alone where there is no line.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// before orders positions for messages: by file name, then by place.
func (p Position) before(q Position) bool {
	if p.File != q.File {
		return p.File < q.File
	}
	if p.Line != q.Line {
		return p.Line < q.Line
	}
	return p.Column < q.Column
}

// A source is one text that was parsed. Values remember their source and an
// offset in it, eight bytes less than a Position; the line is worked out only
// for the few that somebody asks about.
type source struct {
	name string
	text string

	once  sync.Once
	lines []int // offset at which each line starts
}

func (s *source) position(offset int) Position {
	if s == nil {
		return Position{}
	}
	if s.text == "" && offset < 0 {
		return Position{File: s.name}
	}
	s.once.Do(s.index)
	offset = min(max(offset, 0), len(s.text))
	line := sort.SearchInts(s.lines, offset+1)
	column := utf8.RuneCountInString(s.text[s.lines[line-1]:offset]) + 1
	return Position{File: s.name, Line: line, Column: column}
}

func (s *source) index() {
	s.lines = append(s.lines, 0)
	for at := 0; ; {
		next := strings.IndexByte(s.text[at:], '\n')
		if next < 0 {
			return
		}
		at += next + 1
		s.lines = append(s.lines, at)
	}
}

// place is what nodes and values carry.
type place struct {
	src    *source
	offset int
}

func (p place) position() Position { return p.src.position(p.offset) }
