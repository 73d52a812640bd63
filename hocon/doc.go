// Package hocon reads HOCON to the specification, but for what needs a JVM.
package hocon
