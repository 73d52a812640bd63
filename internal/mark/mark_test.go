package mark_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/overcast-go/overcast/internal/mark"
	"github.com/stretchr/testify/assert"
)

func TestAs(t *testing.T) {
	cause, sentinel := errors.New("disk is full"), errors.New("not reachable")
	err := fmt.Errorf("copying: %w", mark.As(cause, sentinel))
	assert.EqualError(t, err, "copying: disk is full")
	assert.ErrorIs(t, err, sentinel)
	assert.ErrorIs(t, err, cause)
	assert.NoError(t, mark.As(nil, sentinel))
	assert.Same(t, sentinel, mark.As(sentinel, sentinel), "an error that has the identity already")
}
