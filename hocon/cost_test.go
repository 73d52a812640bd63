package hocon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// repeat returns n lines of this form, with # for the number of the line and
// #- for the number of the line before.
func repeat(n int, form string) string {
	var b strings.Builder
	for i := range n {
		line := strings.ReplaceAll(form, "#-", fmt.Sprint(max(i-1, 0)))
		b.WriteString(strings.ReplaceAll(line, "#", fmt.Sprint(i)) + "\n")
	}
	return b.String()
}

func resolveCounting(t *testing.T, text string, limits Limits) (*resolver, error) {
	t.Helper()
	doc, err := Parse(t.Context(), "cost.conf", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newResolver(t.Context(), doc.root, doc.unresolved, limits.orDefault(), nil, func(string) (string, bool) { return "", false })
	_, err = r.run(doc.root)
	return r, err
}

// Twice the definitions and lookups take about twice the steps.
func TestResolvingTakesLinearTime(t *testing.T) {
	for name, text := range map[string]func(n int) string{
		"undefined values of one key": func(n int) string { return repeat(n, "o = ${?u}") + repeat(n, "x# = ${?o.q}") },
		"lookups before definitions":  func(n int) string { return repeat(n, "x# = ${?o.q}") + repeat(n, "o = ${?u}") },
		"objects of one key":          func(n int) string { return repeat(n, "o = ${?u} { a# = # }") + repeat(n, "x# = ${o.a#}") },
		"objects, lookups before":     func(n int) string { return repeat(n, "x# = ${o.a#}") + repeat(n, "o = ${?u} { a# = # }") },
		"one object many times":       func(n int) string { return "b { z = 1 }\n" + repeat(n, "o = ${b}") + repeat(n, "x# = ${?o.q}") },
		"value of the first definition": func(n int) string {
			return "o { q = 1 }\n" + repeat(n, "o = ${?u}") + repeat(n, "x# = ${o.q}")
		},
		"lookups within the objects": func(n int) string { return repeat(n, "o = ${?u} { a# = ${?o.b#} }") },
		"objects that refer to the object before": func(n int) string {
			return "o { q = 1 }\n" + repeat(n, "o = ${o} { a# = ${o.q} }")
		},
		"a key within one key": func(n int) string { return repeat(n, "o.l = ${?u}") + repeat(n, "x# = ${?o.l.q}") },
		"a chain of objects": func(n int) string {
			return "c { q = 1 }\n" + "c = ${c} {\n" + repeat(n, "a# = #") + "}\n" + repeat(n, "x# = ${c.a#}")
		},
		"a chain of merges of one object": func(n int) string { return "b { q = 1 }, c0 { q = 1 }\n" + repeat(n, "c# = ${?c#-} ${b}") },
		"concatenated strings":            func(n int) string { return "p = x\n" + repeat(n, "p = ${p}y") },
		"concatenated arrays":             func(n int) string { return repeat(n, "l += #") + repeat(n, "x# = ${?l.q}") },
	} {
		t.Run(name, func(t *testing.T) {
			steps := func(n int) int {
				r, err := resolveCounting(t, text(n), Limits{})
				if err != nil {
					t.Fatal(err)
				}
				return r.steps
			}
			once, twice := steps(1000), steps(2000)
			if twice > 2*once+once/10 {
				t.Errorf("%d steps for 1000 lines, %d for 2000", once, twice)
			}
		})
	}
}

func TestStepsAreLimited(t *testing.T) {
	_, err := resolveCounting(t, repeat(100, "a# = ${?u}"), Limits{Steps: 100})
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Limit != 100 || limit.Pos.Line == 0 {
		t.Errorf("got %v", err)
	}
}

// Each definition looks up a key in all those before it.
func TestQuadraticDocumentsReachTheLimitOfSteps(t *testing.T) {
	_, err := resolveCounting(t, "o { q = 1 }\n"+repeat(2000, "o = ${?o.x} { a# = 1 }"), Limits{Steps: 1_000_000})
	var limit *LimitError
	if !errors.As(err, &limit) {
		t.Errorf("got %v", err)
	}
}

// canceledAfter is a context that is canceled after a number of calls of Err.
type canceledAfter struct {
	context.Context
	calls int
}

func (c *canceledAfter) Err() error {
	if c.calls--; c.calls < 0 {
		return context.Canceled
	}
	return nil
}

func TestParsingAndResolvingStopWhenCanceled(t *testing.T) {
	text := []byte(repeat(5*checkInterval, "a# = ${?u}"))
	doc, err := Parse(t.Context(), "long.conf", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	for calls := range 3 {
		ctx := &canceledAfter{t.Context(), calls}
		if _, err := Parse(ctx, "long.conf", text, nil); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "parsing long.conf: ") {
			t.Errorf("Parse after %d calls: %v", calls, err)
		}
		ctx = &canceledAfter{t.Context(), calls}
		if _, err := doc.Resolve(ctx, nil); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "resolving long.conf: ") {
			t.Errorf("Resolve after %d calls: %v", calls, err)
		}
		if ctx.calls != -1 {
			t.Errorf("Resolve continued: it called Err %d times more", -1-ctx.calls)
		}
	}
	canceled, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the user pressed Ctrl-C")
	cancel(cause)
	if _, err := doc.Resolve(canceled, nil); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
