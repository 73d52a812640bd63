package matchers

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RespondToHTTP succeeds if a GET of the path on a port of the host, by the
// host's own dialer, is answered with a status below 400, or with what
// WithStatus and WithBody want. A redirection is an answer and is not followed.
// The path may have a query. It needs the method DialContext.
//
// Where nothing answers, that is a failed match; but with WithStatus or
// WithBody it is an error, as nobody knows what the answer would have been.
func RespondToHTTP(port int, path string) *RespondToHTTPMatcher {
	return &RespondToHTTPMatcher{port: port, path: path, problem: checkPort("RespondToHTTP", port, nil)}
}

// RespondToHTTPMatcher is made by [RespondToHTTP].
type RespondToHTTPMatcher struct {
	attempts
	port         int
	path         string
	status, body *expectation
	problem      error
}

// WithStatus wants a status: a number, or a matcher of int.
func (m *RespondToHTTPMatcher) WithStatus(status any) *RespondToHTTPMatcher {
	m.status = expect(status)
	return m
}

// WithBody wants a body: a string, or a matcher of string. It gets the first
// megabyte.
func (m *RespondToHTTPMatcher) WithBody(body any) *RespondToHTTPMatcher {
	m.body = expect(body)
	return m
}

// Within bounds an attempt, which may take 2 s otherwise.
func (m *RespondToHTTPMatcher) Within(bound time.Duration) *RespondToHTTPMatcher {
	m.bound = bound
	return m
}

// response is what is of interest of an HTTP response.
type response struct {
	code   int
	status string // with the words
	body   string
}

// Match is Gomega's.
func (m *RespondToHTTPMatcher) Match(actual any) (bool, error) {
	if m.problem != nil {
		return false, m.problem
	}
	host, err := subject[dialer]("RespondToHTTP", dialMethod, actual)
	if err != nil {
		return false, err
	}
	request, err := m.request(actual)
	if err != nil {
		return false, misused("RespondToHTTP: %v", err)
	}
	q := question{
		wanted:      fmt.Sprintf("to respond to HTTP on port %d", m.port) + m.status.of("with status") + m.body.of("with body"),
		tried:       "GET " + request.URL.String(),
		unreachable: m.status == nil && m.body == nil,
	}
	return ask(&m.attempts, actual, q, func(ctx context.Context) (response, error) {
		return get(ctx, host, m.port, request)
	}, m.judge)
}

func (m *RespondToHTTPMatcher) request(actual any) (*http.Request, error) {
	request, err := http.NewRequest(http.MethodGet, "http://host/"+strings.TrimPrefix(m.path, "/"), nil)
	if err != nil {
		return nil, err
	}
	name := hostName(actual)
	if name == "" {
		name = "localhost"
	}
	request.URL.Host = net.JoinHostPort(name, strconv.Itoa(m.port))
	request.Host = request.URL.Host
	return request, nil
}

const bodyLimit = 1 << 20

// get makes a request over a connection of its own. It is dialled here, as a
// transport does that on a goroutine where nobody would catch a panic of the
// host.
func get(ctx context.Context, host dialer, port int, request *http.Request) (response, error) {
	conn, err := dial(ctx, host, port)
	if err != nil {
		return response{}, err
	}
	defer conn.Close()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	defer transport.CloseIdleConnections()
	got, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return response{}, err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, bodyLimit))
	if err != nil {
		return response{}, fmt.Errorf("reading the body: %w", err)
	}
	return response{got.StatusCode, got.Status, string(body)}, nil
}

func (m *RespondToHTTPMatcher) judge(got response) (answer, error) {
	if m.status == nil && got.code >= http.StatusBadRequest {
		return answer{found: fmt.Sprintf("status %s, body %s", got.status, excerpt(got.body))}, nil
	}
	found := fmt.Sprintf("status %s", got.status)
	if m.body != nil {
		found += ", body " + excerpt(got.body)
	}
	return all(found,
		func() (answer, error) { return m.status.against("status", got.code) },
		func() (answer, error) { return m.body.against("body", got.body) })
}

// MatchMayChangeInTheFuture is Gomega's.
func (m *RespondToHTTPMatcher) MatchMayChangeInTheFuture(actual any) bool {
	return mayChange[dialer](&m.attempts, actual)
}
