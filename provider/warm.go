package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/overcast-go/overcast/hocon"
)

// Warm is the section warm of a host. "warm = true" sets Enabled.
type Warm struct {
	// Enabled is whether the section has an effect. nil is true.
	Enabled *bool `hocon:"enabled,bare"`
	// Before is a command that runs on the host before its memory is saved.
	Before string `hocon:"before,secret"`
	// After is a command that runs on a host that was restored, or whose memory could not be
	// saved after Before, before tests use it. If it fails, the host boots again.
	After string `hocon:"after,secret"`
}

// SlotVariable is the environment variable with the number of the slot, for the commands of
// [Warm].
const SlotVariable = "OVERCAST_SLOT"

// WarmPolicy reports whether the host starts from saved memory, or its memory is saved.
// With OVERCAST_CACHE=off, it is not.
func (s Settings) WarmPolicy() bool {
	return s.isWarm() && os.Getenv(cacheVariable) != CacheOff
}

func (s Settings) isWarm() bool {
	return s.Warm != nil && (s.Warm.Enabled == nil || *s.Warm.Enabled)
}

// checkWarm checks what decoding of a section cannot.
func (s Settings) checkWarm(section *hocon.Value) error {
	if s.isWarm() && s.ConnectionURL() == "" {
		return section.Invalid("warm", "needs a login: set connection.url or provision.url")
	}
	return nil
}

// WarmStarter is implemented by an instance that can save the memory of its host, so that a
// later host starts from it instead of booting. Each saved memory is a slot, which one host
// at a time can use. A host that finds no free slot with memory boots, and saves its own.
type WarmStarter interface {
	// UseWarm is called before the instance is reserved and set up. recipe identifies what
	// a set-up does on the host. With refresh, memory that was saved before this process
	// started is not used.
	UseWarm(recipe string, refresh bool)
	// WarmSlot is the number of the slot, and whether SetUp has restored it. ok is false for
	// a host without a slot.
	WarmSlot() (slot int, restored, ok bool)
	// SaveMemory saves the memory of a host that has booted, stops it, and restores it.
	// Nothing may be connected to the host. took is how long its set-up has taken. An
	// [ErrNotRestored] means that the host has stopped; after any other error it goes on.
	SaveMemory(ctx context.Context, took time.Duration) error
	// DiscardMemory removes the host and the saved memory that it was restored from. The
	// next SetUp boots the host.
	DiscardMemory(ctx context.Context) error
}

// ErrNotRestored means that a host could not be restored from saved memory. A set-up then
// boots it.
var ErrNotRestored = errors.New("the host's memory cannot be restored")

// Steps of a set-up of a warm host.
const (
	StepSavedMemory     = "saved memory"      // the detail names the slot
	StepNotWarm         = "not warm:"         // the host boots; the detail is the reason
	StepDiscardedMemory = "discarded memory:" // it could not be restored, and was removed
)

// SlotName names a slot in messages.
func SlotName(slot int) string { return fmt.Sprintf("slot %d", slot) }
