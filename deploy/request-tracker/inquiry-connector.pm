# Request Tracker's part of the inquiry connector. It goes into the folder RT_SiteConfig.d (README.md, step 1).

# Where RT tells of changed tickets: the connector's address, with the name of its mapping at the end.
Set($InquiryConnectorURL, 'https://connector.example.org/webhooks/request-tracker');
# The file that holds the webhook's secret. Only RT's own account should be able to read it.
Set($InquiryConnectorSecretFile, '/etc/request-tracker5/inquiry-connector.secret');

# The webhook is sent once for all that one request has changed, when it is committed.
Set($UseTransactionBatch, 1);

# The statuses of an inquiry. Only "Called NCSC" and the two "E-mailed ..." are chosen by staff, to note what they did;
# the connector sets the others. Every open status leads to every other, so that nobody is ever stuck.
my @inquiry_open = (
    'Collect Details',
    'Call NCSC',
    'Called NCSC',
    'Awaiting NCSC',
    'E-mail Service Center',
    'E-mailed Service Center',
    'Awaiting Service Center',
    'E-mail Headquarters',
    'E-mailed Headquarters',
    'Awaiting Headquarters',
    'Headquarters Overdue',
    'Separate Route',
);
my @inquiry_closed = ('Answered', 'Closed', 'deleted');
Set(%Lifecycles, 'uscis-inquiry' => {
    initial     => ['New'],
    active      => [@inquiry_open],
    inactive    => [@inquiry_closed],
    defaults    => { on_create => 'New', on_merge => 'Closed' },
    transitions => {
        ''  => ['New'],
        New => [@inquiry_open, @inquiry_closed],
        ( map { my $from = $_; $from => [ ( grep { $_ ne $from } @inquiry_open ), @inquiry_closed ] } @inquiry_open ),
        # First "Collect Details": that is where RT's own scrip puts a closed ticket when somebody replies on it.
        ( map { $_ => [@inquiry_open] } @inquiry_closed ),
    },
    rights  => { '* -> deleted' => 'DeleteTicket', '* -> *' => 'ModifyTicket' },
    actions => [
        '* -> Called NCSC'             => { label => 'Called the NCSC', update => 'Comment' },
        '* -> E-mailed Service Center' => { label => 'E-mailed the Service Center', update => 'Comment' },
        '* -> E-mailed Headquarters'   => { label => 'E-mailed Headquarters', update => 'Comment' },
        '* -> Answered'                => { label => 'Answered', update => 'Comment' },
        '* -> Closed'                  => { label => 'Close', update => 'Comment' },
    ],
});

1;
