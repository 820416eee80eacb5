package ledger

// Reason says why a slot has no sample.
type Reason int

// The reasons, in the order in which they are listed everywhere.
const (
	// OperatorDown: no operator was polling the job.
	OperatorDown Reason = iota
	// Busy: the poll before it was still running.
	Busy
	// Overload: the limits that protect SpreeDB were reached.
	Overload
	// Suspended: a person had paused the job.
	Suspended
	// NoTarget: there was no address to ask for.
	NoTarget
	// Lost: it was measured, and the sample was given up before the database had it, or refused by the database for good.
	// Only the outbox gives this one.
	Lost

	// Reasons is how many there are.
	Reasons
)

var reasonNames = [Reasons]string{"OperatorDown", "Busy", "Overload", "Suspended", "NoTarget", "Lost"}

// String is the name of the reason in metrics, status and database.
func (r Reason) String() string { return reasonNames[r] }

// ReasonOf is the reason with a name. Of a name that a later version has given, OperatorDown is all that is certain: there is no
// sample.
func ReasonOf(name string) Reason {
	for r, known := range reasonNames {
		if known == name {
			return Reason(r)
		}
	}
	return OperatorDown
}
