package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// webElement is the name that the standard gives to the reference of an element.
const webElement = "element-6066-11e4-a52e-4f735466cecf"

// webDriver does what a tab of Firefox and one of WebKit have in common, with the
// commands of the standard WebDriver. They have their names of Marionette, which
// uses the same commands and another transport.
type webDriver struct {
	command func(name string, params map[string]any) (value json.RawMessage, err error)
}

func (d webDriver) open(url string) error {
	_, err := d.command("WebDriver:Navigate", map[string]any{"url": url})
	return err
}

func (d webDriver) eval(js string) (json.RawMessage, error) {
	return d.command("WebDriver:ExecuteScript", map[string]any{"script": "return (" + js + ")", "args": []any{}})
}

func (d webDriver) click(element string) error {
	id, err := d.find(element)
	if err != nil {
		return err
	}
	_, err = d.command("WebDriver:ElementClick", map[string]any{"id": id})
	return err
}

func (d webDriver) send(element, text string) error {
	id, err := d.find(element)
	if err != nil {
		return err
	}
	_, err = d.command("WebDriver:ElementSendKeys", map[string]any{"id": id, "text": text})
	return err
}

func (d webDriver) picture(element string) (png []byte, err error) {
	params := map[string]any{"full": true}
	if element != "" {
		id, err := d.find(element)
		if err != nil {
			return nil, err
		}
		params = map[string]any{"full": false, "id": id}
	}
	value, err := d.command("WebDriver:TakeScreenshot", params)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(value, &png) // base64
	return png, err
}

// find returns the reference of an element.
func (d webDriver) find(element string) (id string, err error) {
	value, err := d.eval(element)
	if err != nil {
		return "", err
	}
	var reference map[string]string
	if err := json.Unmarshal(value, &reference); err != nil {
		return "", err
	}
	if reference[webElement] == "" {
		return "", fmt.Errorf("%s is no element", element)
	}
	return reference[webElement], nil
}

// downloaded waits for the file that a browser writes to an empty folder, and
// returns its content. A browser first reserves the name with an empty file or
// writes to a file with another name.
func downloaded(dir string) (content string, err error) {
	err = eventually("a file to be downloaded", func() (bool, error) {
		files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
		if err == nil && len(files) == 0 {
			files, err = filepath.Glob(filepath.Join(dir, "*.csv"))
		}
		if err != nil || len(files) == 0 {
			return false, err
		}
		file, err := os.ReadFile(files[0])
		content = string(file)
		return content != "", err
	})
	return content, err
}

// eventually waits until a condition is true.
func eventually(what string, is func() (bool, error)) error {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-poll.C {
		ok, err := is()
		if ok || err != nil {
			return err
		}
	}
	return errors.New("waited too long for " + what)
}
