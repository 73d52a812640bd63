package matchers_test

import (
	"testing"

	. "github.com/overcast-go/overcast/matchers"
)

func TestBeCloneOf(t *testing.T) {
	host := setUp(t, "clone", `clone { mortal = "10.0.0.9", of = my_base_domain }`)
	passes(t, BeCloneOf("my_base_domain"), host, `Expected
    clone (10.0.0.9)
not to be a clone of my_base_domain
tried: BaseDomain() of the host
found: it is a clone of my_base_domain
attempts: 1`)
	fails(t, BeCloneOf("other"), host, `Expected
    clone (10.0.0.9)
to be a clone of other
tried: BaseDomain() of the host
found: it is a clone of my_base_domain
attempts: 1`)
}

func TestBeCloneOfFailsForAHostThatIsNoClone(t *testing.T) {
	host := setUp(t, "original", `original.hostname = "10.0.0.9"`)
	fails(t, BeCloneOf("base"), host, `Expected
    original (10.0.0.9)
to be a clone of base
tried: BaseDomain() of the host
found: its provider reports no base domain
attempts: 1`)
	unknown(t, BeCloneOf(""), host, "BeCloneOf: the name is empty")
}
