package text

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDevice(t *testing.T) {
	const (
		phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
		pad   = "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
		droid = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
		mac   = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
		win   = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
	)
	for agent, want := range map[string]string{
		phone + "Version/18.1 Mobile/15E148 Safari/604.1":                                            "Safari on iPhone",
		phone + "CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1":                                     "Chrome on iPhone",
		pad + "CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1":                                       "Chrome on iPad",
		mac + "CriOS/131 Version/11.1.1 Safari/605.1.15":                                             "Chrome on macOS", // desktop site on an iPad
		phone + "FxiOS/133.0 Mobile/15E148 Safari/605.1.15":                                          "Firefox on iPhone",
		phone + "Version/18.1 EdgiOS/131.0.2903.68 Mobile/15E148 Safari/604.1":                       "Edge on iPhone",
		phone + "Version/18.1 Mobile/15E148 Safari/604.1 OPT/5.2":                                    "Opera on iPhone",
		phone + "OPiOS/16.0.15 Mobile/15E148 Safari/9537.53":                                         "Opera on iPhone",
		phone + "Version/18.1 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15":                            "DuckDuckGo on iPhone",
		phone + "Version/18.1 Mobile/15E148 Safari/604.1 Ddg/18.1":                                   "DuckDuckGo on iPhone",
		phone + "GSA/343.0.695551749 Mobile/15E148 Safari/604.1":                                     "Google app on iPhone",
		phone + "Mobile/15E148 [FBAN/FBIOS;FBAV/489.0.0.0;FBBV/1;FBDV/iPhone16,2]":                   "Facebook on iPhone",
		phone + "Mobile/15E148 Instagram 359.0.0.0 (iPhone16,2; iOS 18_1; en_US)":                    "Instagram on iPhone",
		phone + "Mobile/15E148 [LinkedInApp]/9.30":                                                   "LinkedIn on iPhone",
		phone + "Mobile/15E148 MicroMessenger/8.0.50(0x1800322b) NetType/WIFI":                       "WeChat on iPhone",
		phone + "Mobile/15E148 Safari Line/14.17.0":                                                  "LINE on iPhone",
		phone + "Mobile/15E148 Twitter for iPhone/10.68":                                             "X on iPhone",
		phone + "Mobile/15E148 Snapchat/13.10 (like Safari/8618)":                                    "Snapchat on iPhone",
		phone + "Mobile/15E148 musical_ly_36.9 BytedanceWebview/d8a21c6":                             "TikTok on iPhone",
		phone + "Mobile/15E148 [Pinterest/iOS]":                                                      "Pinterest on iPhone",
		phone + "Mobile/15E148":                                                                      "App on iPhone",
		droid + "Chrome/131.0.0.0 Mobile Safari/537.36":                                              "Chrome on Android",
		droid + "Chrome/131.0.0.0 Mobile Safari/537.36 EdgA/131.0.0.0":                               "Edge on Android",
		droid + "SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36":                          "Samsung Internet on Android",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9; wv) AppleWebKit/537.36 Chrome/131 Safari":          "App on Android",
		"Mozilla/5.0 (Android 15; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0":                       "Firefox on Android",
		win + "Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0":                                         "Edge on Windows",
		win + "Chrome/131.0.0.0 Safari/537.36 OPR/115.0.0.0":                                         "Opera on Windows",
		mac + "Chrome/131.0.0.0 Safari/537.36":                                                       "Chrome on macOS",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36": "Chrome on ChromeOS",
		"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0":                     "Firefox on Linux",
		"curl/8.11.0":                         "Unknown browser on an unknown system",
		"":                                    "Unknown browser on an unknown system",
		"<b>https://evil.example</b> Firefox": "Firefox on an unknown system",
	} {
		require.Equal(t, want, Device(agent), agent)
	}
}
