// Package provider is for authors of providers: what creates the hosts of one
// kind. Test authors use package fixture instead.
//
// A provider is registered under a name, as drivers of database/sql are, and is
// chosen by the keys of a host's section:
//
//	func init() { provider.Register("example", exampleProvider{}) }
//
// For each host it makes an [Instance]. An instance creates nothing until its
// SetUp is called, and its TearDown removes whatever SetUp has created so far.
// Everything else that an instance or a provider can do is optional: it has the
// methods of one of the interfaces in this package, such as [Cloned],
// [ConsoleReader] or [Checker].
//
// # Order of calls
//
// For a host that is set up:
//
//	Provider.Instance
//	Reserver.Reserve    optional; once for all hosts that are set up together
//	Instance.SetUp
//	Mounter.Mounts      optional
//	Instance.TearDown   repeated until it succeeds
//
// Keeper.Keep takes the place of TearDown for a host that stays. A provider that
// is a [Checker] is also asked by overcast doctor, which sets nothing up.
//
// # Errors
//
// Errors that a test may branch on wrap one of the errors of this package, such
// as [ErrAddressNotFound]; package fixture has the same values under the same names.
// An error about a key carries its position: see [hocon.Value.Invalid].
package provider
