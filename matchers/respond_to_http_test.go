package matchers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/overcast-go/overcast/matchers"
)

// site starts a web server on this machine and returns its port.
func site(t *testing.T) int {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.URL.Query().Get("name")) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/hello", http.StatusFound) })
	mux.HandleFunc("/host", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return portOf(t, server.Listener.Addr())
}

func TestRespondToHTTP(t *testing.T) {
	host := noLogin(t)
	port := site(t)
	passes(t, RespondToHTTP(port, "/moved"), host, fmt.Sprintf(`Expected
    bare (127.0.0.1)
not to respond to HTTP on port %d
tried: GET http://127.0.0.1:%[1]d/moved
found: status 302 Found
attempts: 1`, port))
	passes(t, RespondToHTTP(port, "hello?name=you").WithStatus(200).WithBody("hello you"), host, fmt.Sprintf(`Expected
    bare (127.0.0.1)
not to respond to HTTP on port %d, with status 200, with body "hello you"
tried: GET http://127.0.0.1:%[1]d/hello?name=you
found: status 200 OK, body "hello you"
attempts: 1`, port))
	fails(t, RespondToHTTP(port, "/nothing"), host, fmt.Sprintf(`Expected
    bare (127.0.0.1)
to respond to HTTP on port %d
tried: GET http://127.0.0.1:%[1]d/nothing
found: status 404 Not Found, body "404 page not found\n"
attempts: 1`, port))
	fails(t, RespondToHTTP(port, "/hello").WithStatus(BeNumerically(">=", 500)), host, fmt.Sprintf(`Expected
    bare (127.0.0.1)
to respond to HTTP on port %d, with status satisfying the given matcher
tried: GET http://127.0.0.1:%[1]d/hello
found:
    status:
    Expected
        <int>: 200
    to be >=
        <int>: 500
attempts: 1`, port))
	body := RespondToHTTP(port, "/host").WithBody(ContainSubstring("nothing"))
	ok, err := body.Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Contains(t, body.FailureMessage(host), fmt.Sprintf("<string>: 127.0.0.1:%d\n", port))
}

func TestRespondToHTTPOfAHostThatDoesNotAnswer(t *testing.T) {
	host := noLogin(t)
	closed := closedPort(t)
	fails(t, RespondToHTTP(closed, "/"), host, fmt.Sprintf(`Expected
    bare (127.0.0.1)
to respond to HTTP on port %d
tried: GET http://127.0.0.1:%[1]d/
last error: dial tcp 127.0.0.1:%[1]d: connect: connection refused
attempts: 1`, closed))
	unknown(t, RespondToHTTP(closed, "/").WithBody("error"), host, fmt.Sprintf(`cannot check
    bare (127.0.0.1)
to respond to HTTP on port %d, with body "error"
tried: GET http://127.0.0.1:%[1]d/
last error: dial tcp 127.0.0.1:%[1]d: connect: connection refused
attempts: 1`, closed))
	mute := RespondToHTTP(listen(t, ""), "/").Within(testPace)
	ok, err := mute.Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Contains(t, mute.FailureMessage(host), "no answer within 100ms")
}

func TestRespondToHTTPRefusesInvalidArguments(t *testing.T) {
	host := noLogin(t)
	_, err := RespondToHTTP(80, "/a b\x01").Match(host)
	require.ErrorContains(t, err, "RespondToHTTP: ")
	unknown(t, RespondToHTTP(0, "/"), host, "RespondToHTTP: 0 is not a port number from 1 to 65535")
}
