package hocon

import (
	"context"
	"fmt"
)

// Limits bound what one configuration may cost, so that no input can exhaust
// memory, the stack or the processor. A field that is 0 has the default given
// in its comment, which is far above what a hand-written configuration needs.
// An input that exceeds a limit fails with *LimitError.
type Limits struct {
	// Depth is how deep objects and arrays may be nested, and how many elements
	// a path may have. Default 500.
	Depth int
	// Size is the total size in bytes of all files, each counted as often as it
	// is included, and of all strings that substitutions build. Default 64 MiB.
	Size int
	// Includes is the number of include statements. Default 1,000.
	Includes int
	// Values is the number of values in the resolved configuration. A value that
	// several substitutions refer to counts as often as it would be printed.
	// Default 5,000,000.
	Values int
	// Chain is the number of substitutions that wait for each other: ${a} that
	// needs ${b} that needs ${c}. Default 20,000.
	Chain int
	// Steps is the number of elementary operations of resolving: definitions
	// evaluated, visited or merged, and values built. Default 20,000,000.
	Steps int
}

func (l Limits) orDefault() Limits {
	for _, field := range []struct {
		limit        *int
		defaultValue int
	}{
		{&l.Depth, 500}, {&l.Size, 64 << 20}, {&l.Includes, 1000},
		{&l.Values, 5_000_000}, {&l.Chain, 20_000}, {&l.Steps, 20_000_000},
	} {
		if *field.limit == 0 {
			*field.limit = field.defaultValue
		}
	}
	return l
}

// A budget counts what parsing or resolving has used of the limits, and stops
// either when its context is canceled.
type budget struct {
	ctx    context.Context
	task   string // what a canceled context interrupts, for the error
	limits Limits

	steps  int
	values int64
	bytes  int
}

// checkInterval is the number of steps between two looks at the context.
const checkInterval = 1024

// step counts one elementary operation.
func (b *budget) step(at place) error { return b.takeSteps(at, 1) }

func (b *budget) takeSteps(at place, steps int) error {
	before := b.steps
	if b.steps += steps; b.steps > b.limits.Steps {
		return &LimitError{Pos: at.position(), What: "steps to resolve the configuration", Limit: int64(b.limits.Steps)}
	}
	if before/checkInterval == b.steps/checkInterval {
		return nil
	}
	return b.canceled()
}

// canceled returns an error if the context is canceled.
func (b *budget) canceled() error {
	if err := context.Cause(b.ctx); err != nil {
		return fmt.Errorf("%s: %w", b.task, err)
	}
	return nil
}

// takeValues counts values as they would be printed.
func (b *budget) takeValues(at place, values int64) error {
	if b.values += values; b.values > int64(b.limits.Values) {
		return b.tooMany(at)
	}
	return b.step(at)
}

func (b *budget) tooMany(at place) error {
	return &LimitError{Pos: at.position(), What: "values", Limit: int64(b.limits.Values)}
}

// takeBytes counts the bytes of strings that are not in the files.
func (b *budget) takeBytes(at place, bytes int) error {
	if b.bytes += bytes; b.bytes > b.limits.Size {
		return b.tooLong(at)
	}
	return nil
}

func (b *budget) tooLong(at place) error {
	return &LimitError{Pos: at.position(), What: "bytes of the strings built by substitutions", Limit: int64(b.limits.Size)}
}

func (b *budget) tooDeep(at place) error {
	return &LimitError{Pos: at.position(), What: "nesting", Limit: int64(b.limits.Depth)}
}
