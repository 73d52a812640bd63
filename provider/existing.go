package provider

import (
	"context"

	"github.com/overcast-go/overcast/hocon"
)

// existingName is the name of the provider that is built in.
const existingName = "existing machine"

// existing provides machines that exist already. If the section also has keys of
// another provider, it declares a host of that kind that is replaced by the
// machine; those keys are ignored.
type existing struct{}

func (existing) Keys() []string { return []string{"hostname"} }

func (existing) Instance(_ string, section *hocon.Value) (Instance, error) {
	machine := &existingMachine{Settings: DefaultSettings()}
	decode := section.Decode
	if hasOtherKeys(section) {
		decode = section.DecodeKnown
	}
	if err := decode(machine); err != nil {
		return nil, err
	}
	if machine.Hostname == "" {
		return nil, section.Invalid("hostname", "is empty")
	}
	return machine, nil
}

// hasOtherKeys reports whether a section has keys of another provider, too.
func hasOtherKeys(section *hocon.Value) bool {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	for name, p := range registry.byName {
		if name != existingName && hasKeyOf(section, p) {
			return true
		}
	}
	return false
}

// Section is the struct of a section.
func (existing) Section() any { return new(existingMachine) }

// existingMachine is a host that is neither created nor removed.
type existingMachine struct {
	Settings
	Hostname string `hocon:"hostname,required"`
}

var _ Persistent = (*existingMachine)(nil)

func (m *existingMachine) SetUp(context.Context) error    { return nil }
func (m *existingMachine) Address() string                { return m.Hostname }
func (m *existingMachine) TearDown(context.Context) error { return nil }
func (m *existingMachine) IsPersistent() bool             { return true }
