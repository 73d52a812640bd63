// Package publicapi checks the exported identifiers of the public packages.
package publicapi
