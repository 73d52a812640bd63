package libvirt_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/overcast-go/overcast/fixture"
	_ "github.com/overcast-go/overcast/provider/libvirt"
)

// libvirt's own test driver has a domain that runs, and so cannot be cloned.
func Example() {
	os.Setenv("OVERCAST_SET", `web { libvirtURL = "test:///default", libvirtBaseDomain = test }`)
	defer os.Unsetenv("OVERCAST_SET")

	_, err := fixture.SetUp(context.Background(), "web")
	fmt.Println(errors.Is(err, fixture.ErrBaseDomainRunning))
	fmt.Println(err)
	// Output:
	// true
	// setting up web: base domain "test" at test:///default is running, and a clone's backing store must not change: shut it off first (virsh -c 'test:///default' shutdown 'test')
}
