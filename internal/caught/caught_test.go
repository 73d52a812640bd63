package caught_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/overcast-go/overcast/internal/caught"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestErrorsPassThrough(t *testing.T) {
	require.NoError(t, caught.Call(func() error { return nil }))
	failed := errors.New("no luck")
	assert.Equal(t, failed, caught.Call(func() error { return failed }))
}

func TestPanicsBecomeErrors(t *testing.T) {
	err := caught.Call(mistaken)
	var panicked *caught.Error
	require.ErrorAs(t, err, &panicked)
	assert.Equal(t, "a mistake", panicked.Value)
	require.NoError(t, errors.Unwrap(err))
	assert.Contains(t, err.Error(), "panic: a mistake\n")
	assert.Contains(t, err.Error(), "caught_test.mistaken", "the stack shows where")
}

func mistaken() error { panic("a mistake") }

func TestPanicsWithErrorsAreThoseErrors(t *testing.T) {
	var none []int
	err := caught.Call(func() error { none[len(none)]++; return nil })
	var from runtime.Error
	require.ErrorAs(t, err, &from)
}

func TestEachTellsOfAll(t *testing.T) {
	err := caught.Each([]string{"good", "bad", "worse"}, func(name string) error {
		switch name {
		case "bad":
			return errors.New("no memory")
		case "worse":
			panic("on purpose")
		}
		return nil
	})
	require.ErrorContains(t, err, "no memory\nworse: panic: on purpose")
	assert.NotContains(t, err.Error(), "good")
	assert.NoError(t, caught.Each(nil, nil))
}
