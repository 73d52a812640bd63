package hocon

// Limits bound what one configuration may cost, so that no input, however it
// came about, can exhaust memory or the stack. A field that is 0 has the value
// that DefaultLimits gives it. What goes beyond a limit is a *LimitError.
type Limits struct {
	// Depth of objects and arrays in each other, elements of paths included.
	Depth int
	// Size of all texts together, included ones counted as often as they are
	// included, and of all strings that substitutions make, in bytes.
	Size int
	// Includes that are followed, in all.
	Includes int
	// Values in the resolved configuration: one that several substitutions
	// refer to counts as often as it would be printed.
	Values int
	// Chain of substitutions that refer to substitutions that refer to ...
	Chain int
}

// DefaultLimits are far above what a configuration that people wrote needs.
func DefaultLimits() Limits {
	return Limits{Depth: 500, Size: 64 << 20, Includes: 1000, Values: 5_000_000, Chain: 20_000}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ have, def *int }{
		{&l.Depth, &d.Depth}, {&l.Size, &d.Size}, {&l.Includes, &d.Includes},
		{&l.Values, &d.Values}, {&l.Chain, &d.Chain},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	return l
}
