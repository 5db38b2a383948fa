module github.com/wxops/wxops/naming/lint/oracle

go 1.26.0

replace github.com/wxops/wxops => ../../..

require (
	github.com/owenrumney/go-sarif/v3 v3.3.1
	github.com/wxops/wxops v0.0.0-00010101000000-000000000000
	github.com/xeipuuv/gojsonschema v1.2.0
)

require (
	github.com/pelletier/go-toml/v2 v2.4.3 // indirect
	github.com/xeipuuv/gojsonpointer v0.0.0-20180127040702-4e3ac2762d5f // indirect
	github.com/xeipuuv/gojsonreference v0.0.0-20180127040603-bd5ef7bd5415 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
