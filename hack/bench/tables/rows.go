package tables

import (
	"encoding/json"
	"time"
)

// The columns of the tables, of which jobs has more in the app.
var columns = map[string][]string{
	"jobs": {
		"id", "target_ip", "cadence_seconds", "duration_minutes", "status", "monitoring_mode", "started_at", "completed_at", "last_ping_at",
		"monitor_state", "monitor_message", "avg_rtt_ms", "packet_loss_percent", "total_samples", "updated_at",
	},
	"samples":     {"id", "job_id", "sequence_number", "status", "rtt_ms", "jitter_ms", "recorded_at", "scheduled_at"},
	"sample_gaps": {"job_id", "from_at", "to_at", "slots", "reason"},
	"pollers":     {"id", "last_seen_at", "version", "jobs", "message"},
}

// own are the columns of jobs that the operator writes, which do not count as changes.
var own = map[string]bool{
	"last_ping_at": true, "monitor_state": true, "monitor_message": true, "avg_rtt_ms": true, "packet_loss_percent": true, "total_samples": true,
}

// job is a row of jobs with all that belongs to it.
type job struct {
	id    string
	cells map[string]cell

	samples []measured // by due time
	gaps    []gap      // by beginning
	// sampled is when the first sample came.
	sampled time.Time
}

func (j *job) cell(column string) cell {
	if column == "id" {
		return textCell(j.id)
	}
	return j.cells[column]
}

// measured is a row of samples; instants are in microseconds, and a number that is missing is NaN.
type measured struct {
	due, recorded int64
	rtt, jitter   float64
	sequence      int64
	status        string
}

type sampleRow struct {
	job string
	*measured
}

func (r sampleRow) cell(column string) cell {
	switch column {
	case "job_id":
		return textCell(r.job)
	case "sequence_number":
		return numberCell(float64(r.sequence))
	case "status":
		return textCell(r.status)
	case "rtt_ms":
		return numberCell(r.rtt)
	case "jitter_ms":
		return numberCell(r.jitter)
	case "recorded_at":
		return instantCell(r.recorded)
	case "scheduled_at":
		return instantCell(r.due)
	default: // id, by which only rows without a due time are asked for, and here there are none
		return cell{}
	}
}

type gap struct {
	from, to int64
	slots    int64
	reason   string
}

type gapRow struct {
	job string
	*gap
}

func (r gapRow) cell(column string) cell {
	switch column {
	case "job_id":
		return textCell(r.job)
	case "from_at":
		return instantCell(r.from)
	case "to_at":
		return instantCell(r.to)
	case "slots":
		return numberCell(float64(r.slots))
	default:
		return textCell(r.reason)
	}
}

type poller struct {
	ID       string    `json:"id"`
	LastSeen time.Time `json:"last_seen_at"`
	Version  string    `json:"version"`
	Jobs     int64     `json:"jobs"`
	Message  *string   `json:"message"`
}

func (p *poller) cell(column string) cell {
	switch column {
	case "id":
		return textCell(p.ID)
	case "last_seen_at":
		return instantCell(p.LastSeen.UnixMicro())
	case "version":
		return textCell(p.Version)
	case "jobs":
		return numberCell(float64(p.Jobs))
	default:
		if p.Message == nil {
			return cell{}
		}
		return textCell(*p.Message)
	}
}

// jobCell reads a value that a request gives a column of jobs.
func jobCell(column string, raw json.RawMessage) (cell, error) {
	if string(raw) == "null" {
		return cell{}, nil
	}
	switch column {
	case "cadence_seconds", "duration_minutes", "avg_rtt_ms", "packet_loss_percent", "total_samples":
		var n float64
		err := json.Unmarshal(raw, &n)
		return numberCell(n), err
	case "started_at", "completed_at", "last_ping_at", "updated_at":
		var t time.Time
		err := json.Unmarshal(raw, &t)
		return instantCell(t.UnixMicro()), err
	default:
		var s string
		err := json.Unmarshal(raw, &s)
		return textCell(s), err
	}
}
