package phone_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/adapters/phone"
)

// Config must accept every region that ParsePhone can return. Some, such as Kosovo,
// have a numbering plan but no ISO 3166-1 code.
func TestParsePhone_RegionsAreCountriesOfConfig(t *testing.T) {
	for region := range phonenumbers.GetSupportedRegions() {
		require.NoError(t, configured(region), region)
	}
	require.ErrorContains(t, configured("ZZ"), `"ZZ": must be an ISO 3166-1 alpha-2 code in upper case, or AC, TA or XK`)
	for raw, country := range map[string]string{"+383 44 123 456": "XK", "+247 40123": "AC"} {
		p, err := phone.Parser{}.ParsePhone(raw, "")
		require.NoError(t, err, raw)
		require.Equal(t, country, p.Country)
		require.True(t, p.Mobile)
	}
}

// configured returns the error of a Config that sends text messages to one country.
func configured(country string) error {
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	if err != nil {
		return err
	}
	_, err = twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys,
		Directory: twofa.LookUp(func(context.Context, string) (twofa.User, error) { return twofa.User{}, nil }),
		SMS:       twofa.SMSConfig{Sender: sender{}, Phone: phone.Parser{}, Countries: []string{country}},
	})
	return err
}

type sender struct{}

func (sender) SendSMS(context.Context, twofa.TextMessage) error { return nil }

func TestParsePhone(t *testing.T) {
	for name, tc := range map[string]struct {
		raw, region string
		want        twofa.Phone
	}{
		"E.164":                      {"+41791234567", "", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"plus beats region":          {"+41791234567", "DE", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"national with trunk":        {"079 123 45 67", "CH", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"national without trunk":     {"791234567", "CH", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"access code 00":             {"0041 79 123 45 67", "DE", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"access code 011":            {"011 41 79 123 45 67", "US", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"trunk zero in parentheses":  {"+41 (0)79 123 45 67", "", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"slash, as in Germany":       {"0151/23456789", "DE", twofa.Phone{E164: "+4915123456789", Country: "DE", Mobile: true}},
		"dots and hyphens":           {"+33 6.12-34.56-78", "", twofa.Phone{E164: "+33612345678", Country: "FR", Mobile: true}},
		"white space around":         {"\t+41791234567 \r\n", "", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"shared code, US":            {"(202) 555-0143", "US", twofa.Phone{E164: "+12025550143", Country: "US", Mobile: true}},
		"shared code, Canada":        {"+1 613 555 0123", "", twofa.Phone{E164: "+16135550123", Country: "CA", Mobile: true}},
		"shared code, Jamaica":       {"+1 876 210 1234", "US", twofa.Phone{E164: "+18762101234", Country: "JM", Mobile: true}},
		"shared code, Kazakhstan":    {"+7 701 234 5678", "RU", twofa.Phone{E164: "+77012345678", Country: "KZ", Mobile: true}},
		"pasted, left to right":      {"\u202a+41 79 123 45 67\u202c", "", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"pasted, isolated":           {"\u2066+41 79 123 45 67\u2069", "", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"pasted, zero width":         {"\ufeff+41\u200b79\u200d1234567\u200e", "", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"pasted, no-break spaces":    {"+41\u00a079\u202f123\u200745\u300067", "", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"pasted, hyphens":            {"+41\u00ad79\u2011123\u201345\u221267", "", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"pasted, wide plus":          {"\uff0b41 79 123 45 67", "", twofa.Phone{E164: "+41791234567", Country: "CH", Mobile: true}},
		"Italian leading zero":       {"02 1234 5678", "IT", twofa.Phone{E164: "+390212345678", Country: "IT"}},
		"Vatican under Italy's code": {"06 698 83145", "IT", twofa.Phone{E164: "+390669883145", Country: "VA"}},
		"Italian mobile":             {"347 123 4567", "IT", twofa.Phone{E164: "+393471234567", Country: "IT", Mobile: true}},
		"Brazilian nine digits":      {"(11) 91234-5678", "BR", twofa.Phone{E164: "+5511912345678", Country: "BR", Mobile: true}},
		"Argentine mobile":           {"011 15-2345-6789", "AR", twofa.Phone{E164: "+5491123456789", Country: "AR", Mobile: true}},
		"German land line":           {"030 23125000", "DE", twofa.Phone{E164: "+493023125000", Country: "DE"}},
		"British mobile":             {"07400 123456", "GB", twofa.Phone{E164: "+447400123456", Country: "GB", Mobile: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := phone.Parser{}.ParsePhone(tc.raw, tc.region)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

// Each number is valid but does not receive text messages at an ordinary rate.
func TestAbuse_J10_NumbersThatCost(t *testing.T) {
	for name, tc := range map[string]struct{ raw, country string }{
		"premium, US":                 {"+1 900 234 5678", "US"},
		"premium, Britain":            {"+44 909 012 3456", "GB"},
		"premium, Switzerland":        {"+41 900 123 456", "CH"},
		"shared cost, Britain":        {"+44 845 601 2345", "GB"},
		"toll-free, US":               {"+1 800 234 5678", "US"},
		"personal, Britain":           {"+44 70 1234 5678", "GB"},
		"pager, Britain":              {"+44 7640 123456", "GB"},
		"VoIP, Britain":               {"+44 56 1234 5678", "GB"},
		"universal access, Britain":   {"+44 55 1234 5678", "GB"},
		"land line, Germany":          {"+49 30 23125000", "DE"},
		"satellite, Inmarsat":         {"+870 773 111 632", ""},
		"satellite, Iridium":          {"+881 631 123 456", ""},
		"international networks, 882": {"+882 16 340 1234", ""},
		"international networks, 883": {"+883 510 012 345", ""},
		"international toll-free":     {"+800 1234 5678", ""},
		"international premium":       {"+979 123 456 789", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := phone.Parser{}.ParsePhone(tc.raw, "US")
			require.NoError(t, err)
			require.False(t, got.Mobile, "%+v", got)
			require.Equal(t, tc.country, got.Country)
		})
	}
}

func TestAbuse_J10_NotOneWholeNumber(t *testing.T) {
	for name, tc := range map[string]struct{ raw, region string }{
		"empty":                       {"", "CH"},
		"blank":                       {" \t\r\n", "CH"},
		"plus alone":                  {"+", "CH"},
		"separators alone":            {"+()-./", "CH"},
		"forty digits":                {"+" + strings.Repeat("4", 40), "CH"},
		"sixteen digits":              {"+4915123456789012", ""},
		"longer than any usual form":  {"+41" + strings.Repeat(" ", 40) + "791234567", ""},
		"a megabyte":                  {strings.Repeat("0", 1<<20), "CH"},
		"RFC 3966 extension":          {"+1;ext=9", ""},
		"extension of a valid number": {"+12025550143;ext=9", ""},
		"extension with x":            {"+1 202 555 0143 x9", ""},
		"extension with ext":          {"+1 202 555 0143 ext. 9", ""},
		"extension with #":            {"+1 202 555 0143 #9", ""},
		"pause and digits":            {"+12025550143,9", ""},
		"wait and digits":             {"+12025550143;9", ""},
		"RFC 3966 URI":                {"tel:+12025550143", ""},
		"RFC 3966 context":            {"2025550143;phone-context=+1", "US"},
		"isdn-subaddress":             {"+12025550143;isub=12", ""},
		"vanity number":               {"1-800-FLOWERS", "US"},
		"letters":                     {"call me", "US"},
		"letter O for zero":           {"+4179123456O", ""},
		"two numbers":                 {"+41791234567/+41791234568", ""},
		"two national numbers":        {"0791234567/0791234568", "CH"},
		"two with a comma":            {"+41791234567,+41791234568", ""},
		"two lines":                   {"+41791234567\n+41791234568", ""},
		"two pluses":                  {"++41791234567", ""},
		"plus inside":                 {"41+791234567", "CH"},
		"plus at the end":             {"41791234567+", "CH"},
		"full-width digits":           {"+４１７９１２３４５６７", ""},
		"Arabic-Indic digits":         {"+٤١٧٩١٢٣٤٥٦٧", ""},
		"mathematical digits":         {"+4179123456𝟕", ""},
		"digits in another order":     {"+41\u202e7654321 97\u202c", ""},
		"NUL":                         {"+41791234567\x00", ""},
		"header injection":            {"+41791234567\r\nBcc: x", ""},
		"bad UTF-8":                   {"+4179123456\xff", ""},
		"star code":                   {"*31#+41791234567", "CH"},
		"other channel":               {"whatsapp:+41791234567", ""},
		"emergency number":            {"911", "US"},
		"emergency number, Europe":    {"112", "CH"},
		"short code":                  {"40404", "US"},
		"national without region":     {"079 123 45 67", ""},
		"unknown region":              {"079 123 45 67", "XX"},
		"region of satellites":        {"773111632", "001"},
		"country code alone":          {"+41", ""},
		"unassigned country code":     {"+999 123 456 789", ""},
		"country code zero":           {"+0 791234567", ""},
		"too short":                   {"+4179123456", ""},
		"too long":                    {"+417912345678", ""},
		"negative":                    {"-", "CH"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := phone.Parser{}.ParsePhone(tc.raw, tc.region)
			require.ErrorIs(t, err, phone.ErrNumber)
			require.Zero(t, got)
		})
	}
}

// The numbering plans contain an example of each kind of number in each country.
func TestEveryCountry(t *testing.T) {
	ordinary := []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE}
	for region := range phonenumbers.GetSupportedRegions() {
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.VOICEMAIL; kind++ {
			example := phonenumbers.GetExampleNumberForType(region, kind)
			if example == nil {
				continue
			}
			typed := phonenumbers.Format(example, phonenumbers.INTERNATIONAL)
			got, err := phone.Parser{}.ParsePhone(typed, region)
			require.NoError(t, err, "%s in %s", typed, region)
			require.Equal(t, phonenumbers.Format(example, phonenumbers.E164), got.E164)
			require.Equal(t, slices.Contains(ordinary, phonenumbers.GetNumberType(example)), got.Mobile, got.E164)
		}
	}
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)

// Every accepted number is canonical: it is ASCII, has at most 15 digits and is
// unchanged if it is parsed again.
func FuzzParsePhone(f *testing.F) {
	for _, raw := range []string{
		"+41791234567", "079 123 45 67", "0041791234567", "06 698 83145", "011 15-2345-6789", "+52 1 55 1234 5678",
		"+1;ext=9", "1-800-FLOWERS", "(202) 555-0143", "+870773111632", "911", "+٤١٧٩١٢٣٤٥٦٧", "00390669883145",
	} {
		for _, region := range []string{"", "CH", "US", "IT", "AR", "MX"} {
			f.Add(raw, region)
		}
	}
	f.Fuzz(func(t *testing.T, raw, region string) {
		got, err := phone.Parser{}.ParsePhone(raw, region)
		if err != nil {
			require.ErrorIs(t, err, phone.ErrNumber)
			require.Zero(t, got)
			return
		}
		require.Regexp(t, e164, got.E164)
		require.Regexp(t, `^([A-Z]{2})?$`, got.Country)
		for _, other := range []string{"", region, "US"} {
			again, err := phone.Parser{}.ParsePhone(got.E164, other)
			require.NoError(t, err)
			require.Equal(t, got, again, "with region %q", other)
		}
	})
}
