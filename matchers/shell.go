package matchers

import (
	"context"
	"fmt"

	"github.com/overcast-go/overcast/fixture"
)

// evaluateCommand makes one attempt that runs a command on the host and judges
// its result.
func evaluateCommand(e *evaluator[runner], actual any, wanted, cmd string, judge func(fixture.Result) (verdict, error)) (bool, error) {
	host, err := e.host(actual)
	if err != nil {
		return false, err
	}
	q := query{wanted: wanted, tried: cmd, user: userOf(actual)}
	return evaluate(e, actual, q, func(ctx context.Context) (fixture.Result, error) {
		result, err := host.Run(ctx, cmd)
		return result, cause(actual, err)
	}, judge)
}

// unexpectedResult is the error for the result of a command that the matcher
// does not understand.
func unexpectedResult(what string, result fixture.Result) error {
	return fmt.Errorf("%s: the command %s", what, describeResult(result))
}
