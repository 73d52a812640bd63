package recovered_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDoReturnsTheError(t *testing.T) {
	require.NoError(t, recovered.Do(func() error { return nil }))
	failed := errors.New("no such domain")
	assert.Equal(t, failed, recovered.Do(func() error { return failed }))
}

func TestDoReturnsAPanicAsAnError(t *testing.T) {
	err := recovered.Do(mistaken)
	var panicked *recovered.PanicError
	require.ErrorAs(t, err, &panicked)
	assert.Equal(t, "a mistake", panicked.Value)
	require.NoError(t, errors.Unwrap(err))
	assert.Contains(t, err.Error(), "panic: a mistake\n")
	assert.Contains(t, err.Error(), "recovered_test.mistaken", "the stack names the function")
}

func mistaken() error { panic("a mistake") }

func TestPanicErrorUnwrapsAnErrorValue(t *testing.T) {
	var none []int
	err := recovered.Do(func() error { none[len(none)]++; return nil })
	var from runtime.Error
	require.ErrorAs(t, err, &from)
}

func TestForEachJoinsAllErrors(t *testing.T) {
	err := recovered.ForEach([]string{"good", "bad", "worse"}, func(name string) error {
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
	assert.NoError(t, recovered.ForEach(nil, nil))
}
