package suite

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/onsi/ginkgo/v2"
)

// callerOf is the position of the code that calls the caller of this function, or of a
// caller above it.
func callerOf(skip int) string {
	_, file, line, ok := runtime.Caller(skip + 1)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// fail ends the node if there is an error.
func (f *Fixtures) fail(err error) {
	failWith(f.declaredAt, err, 2)
}

// failAt is fail with the position of the call that made the body of the node.
func (f *Fixtures) failAt(at string, err error) { failWith(at, err, 2) }

// failWith ends the node if there is an error. If the body of the node is a method of
// Fixtures, no code of the suite is on the stack, and the location of the failure would
// be in Ginkgo's code: the message then ends with a position of the suite.
func failWith(at string, err error, skip int) {
	if err == nil {
		return
	}
	if inSuite, ok := suiteFrame(); ok {
		ginkgo.Fail(err.Error(), inSuite)
	}
	ginkgo.Fail(err.Error()+"\n(see "+at+")", skip)
}

// suiteFrame returns how many frames are between the caller and the first one that
// belongs neither to this package nor to Ginkgo.
func suiteFrame() (skip int, found bool) {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		if frame.Function != "" && !isPlumbing(frame.Function) {
			return skip, true
		}
		skip++
		if !more {
			return 0, false
		}
	}
}

// isPlumbing reports whether a function belongs to this package, Ginkgo or Go.
func isPlumbing(function string) bool {
	for _, prefix := range []string{"github.com/overcast-go/overcast/suite.", "github.com/onsi/ginkgo/v2", "runtime.", "reflect.", "testing."} {
		if strings.HasPrefix(function, prefix) {
			return true
		}
	}
	return false
}
