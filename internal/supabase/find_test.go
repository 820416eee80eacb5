package supabase

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJobsAreFoundByWhatPeopleCallThem(t *testing.T) {
	const columns = "id,target_ip,cadence_seconds,duration_minutes,status,monitoring_mode,started_at,completed_at,monitor_state,monitor_message,updated_at"
	for name, c := range map[string]struct {
		find func(*Client) ([]Job, error)
		want map[string][]string
	}{
		"by the beginning of an id": {
			func(c *Client) ([]Job, error) { return c.JobsBetween(t.Context(), idA, idB, 6) },
			map[string][]string{"select": {columns}, "and": {"(id.gte." + idA + ",id.lte." + idB + ")"}, "order": {"id.asc.nullslast"}, "limit": {"6"}},
		},
		"by a target": {
			func(c *Client) ([]Job, error) { return c.NewestJob(t.Context(), netip.MustParseAddr("fe80::7%eth0")) },
			map[string][]string{"select": {columns}, "target_ip": {"eq.fe80::7"}, "order": {"started_at.desc.nullslast"}, "limit": {"1"}},
		},
	} {
		s := serve(t, answer(200, "application/json", `[{"id":"`+idA+`","target_ip":"10.1.2.3"}]`))
		client, _ := clientOf(t, s.URL, Source{Value: "k"})
		jobs, err := c.find(client)
		if err != nil || len(jobs) != 1 || jobs[0].ID != idA || jobs[0].TargetIP != "10.1.2.3" {
			t.Errorf("%s: %v %v", name, jobs, err)
		}
		request := s.requests[len(s.requests)-1]
		if diff := cmp.Diff(c.want, map[string][]string(request.URL.Query())); diff != "" || request.Method != "GET" || request.URL.Path != "/rest/v1/jobs" {
			t.Errorf("%s: %s %s: %s", name, request.Method, request.URL.Path, diff)
		}
	}
	client, _ := clientOf(t, "http://127.0.0.1:1", Source{Value: "k"})
	client.schema, client.probed = &Schema{}, client.clock.Now()
	if _, err := client.JobsBetween(t.Context(), idA+")", idB, 1); err == nil {
		t.Error("an id with a filter in it is sent")
	}
}
