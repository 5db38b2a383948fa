package haproxy

import (
	"strings"
	"testing"
)

// Answers in the form of later releases than the one that tests can run: columns
// are added at the end and between others, and an address or port may be absent.
func TestColumnsAreFoundByName(t *testing.T) {
	state := strings.Join([]string{
		"1",
		"# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port later",
		"3 checkout 1 a ::1 2 64 128 100 7 6 3 4 6 0 0 0 a.example 8001 - 0 0 - - 0 x",
		"3 checkout 2 b - 2 0 1 1 7 1 0 2 0 0 0 0 - 0 - 0 0 - - 0 x", "", "",
	}, "\n")
	servers, err := parseServers(state)
	want := []server{{"checkout", "a", "::1", 8001, 64, 128}, {"checkout", "b", "-", 0, 0, 1}}
	if err != nil || len(servers) != 2 || servers[0] != want[0] || servers[1] != want[1] {
		t.Errorf("servers %+v, %v; want %+v", servers, err, want)
	}
	stat := strings.Join([]string{
		"# pxname,svname,qcur,qmax,scur,later,smax,slim,stot,status,weight,type,rate,check_status,hrsp_2xx,lastsess,qtime,rtime,mode,algo,req_tot,srid,-,proto_first,",
		"checkout,a,0,0,3,?,4,,2500,UP,128,2,40,L4OK,2500,0,0,12,http,,2501,77,,1,",
		"checkout,BACKEND,2,0,3,?,4,200,2500,UP,129,1,40,,2500,0,0,12,http,roundrobin,2501,,,1,", "", "",
	}, "\n")
	rows, backends, err := parseStats(stat)
	a := rows["checkout/a"]
	if err != nil || a.InFlight != 3 || a.Requests != 2501 || a.Limit != -1 || a.Status[2] != 2500 || a.ResponseTime.Milliseconds() != 12 || a.status != "UP" {
		t.Errorf("statistics %+v, %v", a, err)
	}
	if b := backends["checkout"]; b.queue != 2 || b.algo != "roundrobin" {
		t.Errorf("backend %+v", b)
	}
	for release, want := range map[string][2]int{
		"2.2.29-2+deb11u6": {2, 2}, "2.4.0": {2, 4}, "2.4.22-f8e3218": {2, 4}, "2.6.12-1+deb12u4": {2, 6}, "2.8.5-1ubuntu3": {2, 8},
		"3.0-dev5": {3, 0}, "3.0.11-1+deb13u2": {3, 0}, "3.2.1-1e6d5e6": {3, 2}, "2.10.1": {2, 10},
	} {
		major, minor, text, err := parseVersion("Name: HAProxy\nVersion: " + release + "\nRelease_date: 2023/02/14\n")
		if err != nil || [2]int{major, minor} != want || text != release {
			t.Errorf("release %s: %d.%d, %q, %v", release, major, minor, text, err)
		}
	}
}
