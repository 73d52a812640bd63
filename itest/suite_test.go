// Package itest is the suite that runs against real guests, in the lab:
//
//	make itest
package itest

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/overcast-go/overcast/suite"
)

func TestItest(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "overcast against real guests")
}

var hosts = suite.Declare("nat_host")

var _ = BeforeSuite(hosts.SetUp)
