package matchers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strconv"
	"strings"

	"github.com/onsi/gomega/format"

	"github.com/overcast-go/overcast/fixture"
)

// A matcher requires one of these interfaces of the actual value.
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
	cloned interface{ BaseDomain() string }
)

// Matchers use these interfaces if the actual value implements them.
type (
	withUser  interface{ User() (string, error) }
	addressed interface{ Address() string }
	exiter    interface{ Exited() error }
)

// host returns the actual value as the interface that the matcher requires.
func (e *evaluator[T]) host(actual any) (T, error) {
	host, ok := actual.(T)
	if !ok || isNil(actual) {
		return host, newTypeError(e.matcher, methodOf[T](), actual)
	}
	return host, nil
}

// typeError reports an actual value that the matcher cannot use.
type typeError struct{ text string }

func (e *typeError) Error() string                { return e.text }
func (e *typeError) FormattedGomegaError() string { return e.text }

func newTypeError(matcher, method string, actual any) error {
	return &typeError{fmt.Sprintf("%s matcher expects a *fixture.CloudHost or a value with the method %s. Got:\n%s", matcher, method, format.Object(actual, 1))}
}

// methodOf returns the declaration of the method of an interface that has one.
func methodOf[T any]() string {
	method := reflect.TypeFor[T]().Method(0)
	return method.Name + strings.TrimPrefix(method.Type.String(), "func")
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

// callHost calls a method of a host. The method of a host that is not set up
// panics; callHost returns that panic as an error.
func callHost[R any](call func() (R, error)) (result R, err error) {
	defer func() {
		if p := recover(); p != nil {
			notSetUp, ok := p.(error)
			if !ok || !errors.Is(notSetUp, fixture.ErrNotSetUp) {
				panic(p)
			}
			err = notSetUp
		}
	}()
	return call()
}

// describe names a host for messages: by its String method, or else by its type
// and address.
func describe(actual any) string {
	text := fmt.Sprintf("%T", actual)
	if host, ok := actual.(fmt.Stringer); ok {
		text = host.String()
	} else if address := addressOf(actual); address != "" {
		text += " (" + address + ")"
	}
	return text
}

// addressOf returns the address of a host, or "". It prefers Address to HostName,
// which may be the address of a port forward.
func addressOf(actual any) string {
	var method func() string
	if host, ok := actual.(addressed); ok {
		method = host.Address
	} else if host, ok := actual.(named); ok {
		method = host.HostName
	} else {
		return ""
	}
	address, _ := callHost(func() (string, error) { return method(), nil })
	return address
}

// userOf returns the login user of a host, or "".
func userOf(actual any) string {
	host, ok := actual.(withUser)
	if !ok {
		return ""
	}
	user, _ := callHost(host.User)
	return user
}

// hasLogin returns whether a login to the host is configured, as far as the host
// can tell.
func hasLogin(actual any) bool {
	host, ok := actual.(withUser)
	if !ok {
		return true
	}
	_, err := callHost(host.User)
	return !errors.Is(err, fixture.ErrNoLogin)
}

// exited returns how the host stopped, or nil.
func exited(actual any) error {
	host, ok := actual.(exiter)
	if !ok || isNil(actual) {
		return nil
	}
	ended, _ := callHost(func() (error, error) { return host.Exited(), nil })
	return ended
}

// keyOf returns the key of a host in a map. Each call of fixture.Host returns
// another pointer to the host of a label, so the label is the key.
func keyOf(actual any) any {
	if host, ok := actual.(*fixture.CloudHost); ok {
		return "label " + host.Label()
	}
	if v := reflect.ValueOf(actual); v.IsValid() && v.Comparable() {
		return actual
	}
	return reflect.TypeOf(actual)
}

// cause returns the cause of an error of a CloudHost's method. The text around it
// names the host and the command, which messages show already.
func cause(actual any, err error) error {
	if _, ok := actual.(*fixture.CloudHost); ok && errors.Unwrap(err) != nil {
		return errors.Unwrap(err)
	}
	return err
}

// dial connects to a port of a host.
func dial(ctx context.Context, host dialer, port int) (net.Conn, error) {
	name := addressOf(host)
	if _, ok := host.(*fixture.CloudHost); ok {
		name = "" // it knows how to connect to its own ports
	}
	conn, err := host.DialContext(ctx, "tcp", net.JoinHostPort(name, strconv.Itoa(port)))
	return conn, cause(host, err)
}
