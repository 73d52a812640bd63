package testifysuite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
	testifysuite "github.com/overcast-go/overcast/suite/testify"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// noted is a host that only prints what is done with it.
type noted struct {
	provider.Settings
	Noted string `hocon:"noted"`
	label string
}

type notedProvider struct{}

func (notedProvider) Keys() []string { return []string{"noted"} }

func (notedProvider) Instance(label string, section *hocon.Value) (provider.Instance, error) {
	made := &noted{Settings: provider.DefaultSettings(), label: label}
	return made, section.Decode(made)
}

func init() { provider.Register("noted", notedProvider{}) }

func (n *noted) Address() string { return n.Noted }

func (n *noted) SetUp(context.Context) error {
	fmt.Println("set up", n.label)
	if n.Noted == "fails" {
		return errors.New("no memory left for " + n.label)
	}
	return nil
}

func (n *noted) TearDown(context.Context) error {
	fmt.Println("tear down", n.label)
	return nil
}

// doesVariable is the environment variable that chooses what goes wrong in the
// suite of TestHelperSuite.
const doesVariable = "TESTIFYSUITE_DOES"

// recorded is a suite that prints the methods that are called.
type recorded struct{ testifysuite.Suite }

func (s *recorded) does(what string) {
	fmt.Println(what)
	switch os.Getenv(doesVariable) {
	case what + " panics":
		panic("on purpose")
	case what + " fails":
		s.T().FailNow()
	}
}

func (s *recorded) SetupSuite()    { s.does("SetupSuite") }
func (s *recorded) TearDownSuite() { s.does("TearDownSuite") }
func (s *recorded) TestHost()      { s.does("test " + s.Host("one").HostName()) }

// TestHelperSuite runs in a process of its own, as it fails on purpose.
func TestHelperSuite(t *testing.T) {
	if os.Getenv(doesVariable) == "" {
		t.Skip("a helper process of other tests, which set " + doesVariable)
	}
	testifysuite.Run(t, new(recorded), "one", "two")
}

func TestRunTearsDownWhateverTheSuiteDoes(t *testing.T) {
	whole := []string{"SetupSuite", "test 10.0.0.1", "TearDownSuite"}
	for does, want := range map[string]struct {
		conf   string
		does   []string // between set-up and teardown
		fails  bool
		output string
	}{
		"nothing wrong":        {does: whole},
		"SetupSuite panics":    {does: whole[:1], fails: true, output: "on purpose"},
		"SetupSuite fails":     {does: whole[:1], fails: true},
		"test 10.0.0.1 panics": {does: whole, fails: true, output: "on purpose"},
		"test 10.0.0.1 fails":  {does: whole, fails: true},
		"TearDownSuite panics": {does: whole, fails: true, output: "on purpose"},
		"one cannot be set up": {conf: `, one.noted = fails`, fails: true, output: "setting up one: no memory left for one"},
	} {
		t.Run(does, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestHelperSuite$")
			cmd.Env = append(os.Environ(), doesVariable+"="+does, "OVERCAST_CONF=", "HOME="+t.TempDir(),
				`OVERCAST_SET=one.noted = "10.0.0.1", two.noted = "10.0.0.2"`+want.conf)
			out, err := cmd.CombinedOutput()
			assert.Equal(t, want.fails, err != nil, string(out))
			assert.Contains(t, string(out), want.output)
			var list []string
			for line := range strings.Lines(string(out)) {
				line = strings.TrimSpace(line)
				for _, noted := range []string{"set up ", "tear down ", "SetupSuite", "TearDownSuite", "test "} {
					if strings.HasPrefix(line, noted) {
						list = append(list, line)
					}
				}
			}
			require.GreaterOrEqual(t, len(list), 4, string(out))
			if want.conf != "" { // the failed host may be torn down before the other one is set up
				assert.ElementsMatch(t, []string{"set up one", "set up two", "tear down one", "tear down two"}, list)
				return
			}
			assert.ElementsMatch(t, []string{"set up one", "set up two"}, list[:2])
			assert.Equal(t, want.does, list[2:len(list)-2])
			assert.ElementsMatch(t, []string{"tear down one", "tear down two"}, list[len(list)-2:])
		})
	}
}

func TestParallelSuitesShareAHost(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("OVERCAST_SET", `one.noted = "10.0.0.1"`)
	t.Run("suites", func(t *testing.T) {
		for n := range 4 {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				testifysuite.Run(t, new(recorded), "one")
			})
		}
	})
	_, err := fixture.Lookup("one")
	require.ErrorIs(t, err, fixture.ErrNotSetUp)
}
