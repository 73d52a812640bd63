package cloudinit_test

import (
	"bytes"
	"fmt"

	"github.com/overcast-go/overcast/internal/cloudinit"
)

func ExampleBuild() {
	keys, err := cloudinit.GenerateHostKeys()
	if err != nil {
		panic(err)
	}
	var seed bytes.Buffer
	err = cloudinit.Build(&seed, cloudinit.Config{
		Hostname: cloudinit.Hostname("nat_host"),
		User:     cloudinit.User{Name: "admin", AuthorizedKeys: []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"}},
		HostKeys: keys,
		UserData: []byte("#cloud-config\npackages: [nginx]\n"),
	})
	fmt.Println(err, seed.Len()%2048)
	// Output: <nil> 0
}

func ExampleParseStatus() {
	status := cloudinit.ParseStatus(1, "\nstatus: error\nerrors:\n\t- ('runcmd', KeyError('a'))\n")
	fmt.Println(status.State)
	fmt.Println(status.Err())
	// Output:
	// error
	// waiting for cloud-init: cloud-init failed: ('runcmd', KeyError('a'))
}
