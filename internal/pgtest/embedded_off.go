//go:build noembeddedpostgres

package pgtest

import "errors"

// embedded is for programs that come with a PostgreSQL, such as the demo's image: they download none, and the library that
// would do so, which is made for tests, stays out of them.
func embedded() (string, error) {
	return "", errors.New("this program was built to download none")
}
