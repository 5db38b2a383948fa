package haproxy

import "testing"

func FuzzParseServers(f *testing.F) {
	f.Add("1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port\n3 checkout 1 a 127.0.0.1 2 0 100 8001\n\n")
	f.Add("1\n# be_name\nx\n")
	f.Add("2\n")
	f.Fuzz(func(t *testing.T, text string) {
		servers, err := parseServers(text)
		for _, s := range servers {
			if err == nil && (s.name == "" || s.weight < 0 || s.weight > MaxWeight) {
				t.Fatalf("accepted %+v", s)
			}
		}
	})
}

func FuzzParseStats(f *testing.F) {
	f.Add("# pxname,svname,qcur,scur,stot,status,type,mode,qtime,lastsess,\ncheckout,a,0,1,22,UP,2,http,3,-1,\ncheckout,BACKEND,4,1,22,UP,1,http,0,0,\n\n")
	f.Add("# pxname,svname\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, _, err := parseStats(text)
		for id, r := range rows {
			if err == nil && (id != r.Service+"/"+r.Instance || r.QueueTime < 0 || r.Idle < -1) {
				t.Fatalf("%q: accepted %+v", id, r)
			}
		}
	})
}

func FuzzParseAnswers(f *testing.F) {
	f.Add("7 (initial 100)")
	f.Add("Name: HAProxy\nVersion: 2.6.12-1+deb12u4\n")
	f.Fuzz(func(t *testing.T, text string) {
		if w, err := parseWeight(text); err == nil && (w < 0 || w > MaxWeight) {
			t.Fatalf("weight %d", w)
		}
		if major, minor, _, err := parseVersion(text); err == nil && (major < 0 || minor < 0) {
			t.Fatalf("version %d.%d", major, minor)
		}
	})
}
