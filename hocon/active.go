package hocon

// active are the definitions that are being worked out, innermost last. Most
// often they are few; the index is for when they are not.
type active struct {
	stack []definition
	index map[*field][]int // definitions of a field, innermost last; nil while there are few
}

type definition struct {
	field *field
	at    int
}

const few = 16

func (a *active) push(f *field, at int) {
	a.stack = append(a.stack, definition{f, at})
	if a.index != nil {
		a.index[f] = append(a.index[f], at)
		return
	}
	if len(a.stack) > few {
		a.index = make(map[*field][]int)
		for _, d := range a.stack {
			a.index[d.field] = append(a.index[d.field], d.at)
		}
	}
}

func (a *active) pop() {
	last := a.stack[len(a.stack)-1]
	a.stack = a.stack[:len(a.stack)-1]
	if a.index == nil {
		return
	}
	if len(a.stack) == 0 {
		a.index = nil
		return
	}
	if rest := a.index[last.field]; len(rest) > 1 {
		a.index[last.field] = rest[:len(rest)-1]
	} else {
		delete(a.index, last.field)
	}
}

// find gives the innermost definition of a field that is being worked out.
func (a *active) find(f *field) (at int, busy bool) {
	if a.index != nil {
		if at := a.index[f]; len(at) > 0 {
			return at[len(at)-1], true
		}
		return 0, false
	}
	for i := len(a.stack) - 1; i >= 0; i-- {
		if a.stack[i].field == f {
			return a.stack[i].at, true
		}
	}
	return 0, false
}
