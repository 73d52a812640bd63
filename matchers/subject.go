package matchers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strconv"

	"github.com/onsi/gomega/format"

	"github.com/overcast-go/overcast/fixture"
)

// What matchers need of a host.
type (
	runner interface {
		Run(ctx context.Context, cmd string) (fixture.Result, error)
	}
	loginRunner interface {
		RunAs(ctx context.Context, login fixture.Login, cmd string) (fixture.Result, error)
	}
	dialer interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	}
	named  interface{ HostName() string }
	cloned interface{ Base() string }
)

// What they use if it is there.
type (
	withUser  interface{ User() (string, error) }
	addressed interface{ Address() string }
	ender     interface{ Ended() error }
)

// The methods, as errors show them.
const (
	runMethod   = "Run(context.Context, string) (fixture.Result, error)"
	runAsMethod = "RunAs(context.Context, fixture.Login, string) (fixture.Result, error)"
	dialMethod  = "DialContext(context.Context, string, string) (net.Conn, error)"
	nameMethod  = "HostName() string"
	baseMethod  = "Base() string"
)

// A subjectError says that what is to be matched is no host that can be.
type subjectError struct{ text string }

func (e *subjectError) Error() string                { return e.text }
func (e *subjectError) FormattedGomegaError() string { return e.text }

// subject is the actual as what the matcher needs. It is an error that says
// what is there where that is nothing, or something else.
func subject[T any](matcher, method string, actual any) (T, error) {
	host, ok := actual.(T)
	if !ok || isNil(actual) {
		return host, misfit(matcher, method, actual)
	}
	return host, nil
}

func misfit(matcher, method string, actual any) error {
	return &subjectError{fmt.Sprintf("%s matches a *fixture.CloudHost, or a value with the method %s. Got:\n%s", matcher, method, format.Object(actual, 1))}
}

func isNil(actual any) bool {
	switch v := reflect.ValueOf(actual); v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Interface, reflect.Chan:
		return v.IsNil()
	}
	return false
}

// guarded calls a method of a host. A host that is not set up panics there;
// here that is an error.
func guarded[T any](call func() (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			notUp, ok := p.(error)
			if !ok || !errors.Is(notUp, fixture.ErrNotSetUp) {
				panic(p)
			}
			err = notUp
		}
	}()
	return call()
}

// describe names a host for messages, as much as it tells about itself.
func describe(actual any) string {
	text := fmt.Sprintf("%T", actual)
	if host, ok := actual.(fmt.Stringer); ok {
		text = host.String()
	} else if address := hostName(actual); address != "" {
		text += " (" + address + ")"
	}
	return text
}

// hostName is the address of a host, as far as it tells. Where one is reached
// by way of a forward, HostName is not the host's own.
func hostName(actual any) string {
	var ask func() string
	if host, ok := actual.(addressed); ok {
		ask = host.Address
	} else if host, ok := actual.(named); ok {
		ask = host.HostName
	} else {
		return ""
	}
	name, _ := guarded(func() (string, error) { return ask(), nil })
	return name
}

func userOf(actual any) string {
	host, ok := actual.(withUser)
	if !ok {
		return ""
	}
	user, _ := guarded(host.User)
	return user
}

// hasEnded is why the host is no more, or nil.
func hasEnded(actual any) error {
	host, ok := actual.(ender)
	if !ok || isNil(actual) {
		return nil
	}
	ended, _ := guarded(func() (error, error) { return host.Ended(), nil })
	return ended
}

// keyOf tells hosts apart: every fixture.Host of a label is another value, but
// the same host.
func keyOf(actual any) any {
	if host, ok := actual.(*fixture.CloudHost); ok {
		return "label " + host.Label()
	}
	if v := reflect.ValueOf(actual); v.IsValid() && v.Comparable() {
		return actual
	}
	return reflect.TypeOf(actual)
}

// inner is what is wrong, without the words by which a CloudHost says who it is
// and what it was asked to do: messages say that themselves.
func inner(actual any, err error) error {
	if _, ok := actual.(*fixture.CloudHost); ok && errors.Unwrap(err) != nil {
		return errors.Unwrap(err)
	}
	return err
}

// dial connects to a port of a host. A CloudHost finds itself, whatever name
// it goes by.
func dial(ctx context.Context, host dialer, port int) (net.Conn, error) {
	name := hostName(host)
	if _, ok := host.(*fixture.CloudHost); ok {
		name = ""
	}
	conn, err := host.DialContext(ctx, "tcp", net.JoinHostPort(name, strconv.Itoa(port)))
	return conn, inner(host, err)
}
