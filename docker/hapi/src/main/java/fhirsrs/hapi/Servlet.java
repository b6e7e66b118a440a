package fhirsrs.hapi;

import ca.uhn.fhir.batch2.jobs.export.BulkDataExportProvider;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.provider.ValueSetOperationProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import org.springframework.context.ApplicationContext;

/** Puts the providers and interceptors of one server together; Tomcat's side of it is {@link Main}'s. */
final class Servlet {

    private Servlet() {}

    static RestfulServer of(ApplicationContext beans, Settings settings) {
        RestfulServer server = new RestfulServer(beans.getBean(FhirContext.class));
        server.registerProviders(beans.getBean(ResourceProviderFactory.class).createProviders());
        server.registerProvider(beans.getBean(JpaSystemProvider.class));
        server.registerProvider(beans.getBean(ValueSetOperationProvider.class));
        server.setPagingProvider(beans.getBean(DatabaseBackedPagingProvider.class));
        server.setServerConformanceProvider(capabilities(beans, server));
        if (settings.bulk()) {
            server.registerProvider(beans.getBean(BulkDataExportProvider.class));
        }
        settings.token().ifPresent(token -> server.registerInterceptor(new BearerToken(token)));
        return server;
    }

    private static JpaCapabilityStatementProvider capabilities(ApplicationContext beans, RestfulServer server) {
        JpaCapabilityStatementProvider provider = new JpaCapabilityStatementProvider(
                server,
                beans.getBean(IFhirSystemDao.class),
                beans.getBean(JpaStorageSettings.class),
                beans.getBean(ISearchParamRegistry.class),
                beans.getBean(IValidationSupport.class));
        provider.setImplementationDescription("HAPI FHIR for the tests of fhir-srs");
        return provider;
    }
}
